"""Compares a restored server with what its snapshot held."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mngdb import stopping
from mngdb.engines.mongodb import collections
from mngdb.engines.mongodb.aside import found
from mngdb.engines.mongodb.client import Refused, Session
from mngdb.engines.mongodb.collections import Collection, Digest
from mngdb.snapshot import Taken, Trial
from mngdb.words import many


def prove(session: Session, taken: Taken) -> tuple[Trial, ...]:
    """A trial for every collection and view: documents, options and indexes, and the server's own
    check of its files; and one for users and one for roles. Where `taken` has no counts, as for a
    later moment, the check of the files alone. Raises ConnectError, Refused."""
    there = {one.namespace: one for one in collections.every(session)}
    if not taken.counts:
        return tuple(_sound(session, one) for one in there.values() if one.holder is not None)
    return (
        *(
            _collection(session, name, there.get(name), set(traits), taken)
            for name, traits in taken.notes["traits"].items()
        ),
        *_logins(session, taken),
    )


def _collection(
    session: Session, name: str, one: Collection | None, traits: set[str], taken: Taken
) -> Trial:
    def judged(one: Collection) -> tuple[list[str], str]:
        wrong = [*missing(one, traits), *_content(session, one, taken), *_files(session, one)]
        return wrong, _good(one, taken)

    return trial(name, one, judged)


def _sound(session: Session, one: Collection) -> Trial:
    def judged(one: Collection) -> tuple[list[str], str]:
        wrong = list(_files(session, one))
        documents = int(session.command("count", one.holder, on=one.database, limit=None)["n"])
        return wrong, _held(one, documents)

    return trial(one.namespace, one, judged)


def trial(
    name: str, one: Collection | None, judged: Callable[[Collection], tuple[list[str], str]]
) -> Trial:
    """The trial of a collection; None: it is not there. `judged` gives what is wrong with it, and
    what it is where nothing is."""
    stopping.check()
    if one is None:
        return Trial(name, False, "it is missing")
    try:
        wrong, good = judged(one)
    except Refused as error:
        return Trial(name, False, error.message)
    return Trial(name, not wrong, "; ".join(wrong) or good)


def _good(one: Collection, taken: Taken) -> str:
    if one.holder is None:
        return one.kind
    documents = taken.counts[one.held]
    return _held(one, documents)


def _held(one: Collection, documents: int) -> str:
    return f"{many(documents, _unit(one))}, {len(one.indexes)} indexes"


def _unit(one: Collection) -> str:
    """What its documents are called: a time series has several measurements in each."""
    return "bucket" if one.holder != one.name else "document"


def missing(one: Collection, wanted: set[str]) -> Iterator[str]:
    """What it lacks of its kind, options and indexes. Indexes that the file asks for may have been
    added."""
    lost = len(wanted - one.traits)
    if lost:
        yield f"{lost} of its kind, options and indexes are not as they were"


def _content(session: Session, one: Collection, taken: Taken) -> Iterator[str]:
    if one.holder is None:
        return
    content, wanted = taken.content[one.held], taken.counts[one.held]
    digest = Digest(content)
    for batch in session.batches(one.database, one.holder):
        digest.add(batch)
    if digest.count < wanted and one.expires:
        return  # the time of the others has come since
    if digest.count < wanted and one.options.get("capped") and one.namespace in taken.notes["late"]:
        return  # some came and went while it was read, and have no room together
    if digest.count != wanted:
        yield f"{digest.count:,} {_unit(one)}s instead of {wanted:,}"
    elif digest.text != content:
        yield f"its {_unit(one)}s are not those of the snapshot"


def _files(session: Session, one: Collection) -> Iterator[str]:
    if one.holder is None:
        return
    said = session.command("validate", one.holder, on=one.database, limit=None)
    errors = list(map(str, said.get("errors", ())))
    if said.get("nNonCompliantDocuments") and len(errors) == 1:
        return  # what breaks the collection's own rules was allowed to be there
    if not said["valid"]:
        yield "; ".join(["the server finds it damaged", *errors])


def _logins(session: Session, taken: Taken) -> Iterator[Trial]:
    for kind in ("users", "roles"):
        wanted = set(taken.notes[kind])
        lost = sorted(wanted - {str(one["_id"]) for one in found(session, f"system.{kind}")})
        yield Trial(kind, not lost, f"missing: {', '.join(lost)}" if lost else f"{len(wanted)}")
