"""Servers that a provider runs and backs up: what they hold, as far as that is known without
reading all of it, and whether a restored one has it."""

from __future__ import annotations

from collections.abc import Iterator

from mngdb import stopping
from mngdb.engines.mongodb import collections
from mngdb.engines.mongodb.client import Refused, Session
from mngdb.engines.mongodb.collections import Collection
from mngdb.engines.mongodb.databases import every
from mngdb.snapshot import Taken, Trial
from mngdb.words import many


def describe(session: Session) -> Taken:
    """Every collection's kind, options, indexes and number of documents. Raises Refused,
    ConnectError."""
    found = _collections(session)
    return Taken(
        kind="full",
        product="MongoDB",
        version=str(session.command("buildInfo")["version"]),
        source="",
        position={},
        counts={name: _count(session, one) for name, one in found.items() if one.holder},
        notes={"traits": {name: sorted(one.traits) for name, one in found.items()}},
    )


def prove(session: Session, taken: Taken) -> tuple[Trial, ...]:
    """A trial for every collection that is there, or that `taken` names: its indexes, that it is
    not empty where it was not, and the server's own check of its files. Raises ConnectError."""
    there = _collections(session)
    # of a later moment than the snapshot's nobody knows
    traits: dict[str, list[str]] = taken.notes.get("traits", {}) if taken.counts else {}
    return tuple(
        _tried(session, name, there.get(name), set(traits.get(name, ())), taken.counts.get(name, 0))
        for name in sorted({*there, *traits})
    )


def _collections(session: Session) -> dict[str, Collection]:
    names = sorted(every(session.command))  # the provider's own are none of ours
    return {one.namespace: one for n in names for one in collections.of_database(session, n)}


def _count(session: Session, one: Collection) -> int:
    """By what the server keeps of it: no document is read."""
    return int(session.command("count", one.holder, on=one.database)["n"])


def _tried(
    session: Session, name: str, one: Collection | None, traits: set[str], documents: int
) -> Trial:
    stopping.check()
    if one is None:
        return Trial(name, False, "it is missing")
    if one.holder is None:
        return Trial(name, traits <= one.traits, one.kind)
    try:
        found = _count(session, one)
        wrong = [*_wrong(session, one, traits, documents, found)]
    except Refused as error:
        return Trial(name, False, error.message)
    held = f"{many(found, 'document')}, {len(one.indexes)} indexes"
    return Trial(name, not wrong, "; ".join(wrong) or held)


def _wrong(
    session: Session, one: Collection, traits: set[str], documents: int, found: int
) -> Iterator[str]:
    if lost := len(traits - one.traits):
        yield f"{lost} of its kind, options and indexes are not as they were"
    if documents and not found and not one.expires:
        yield f"it is empty, and had about {many(documents, 'document')}"
    said = session.command("validate", one.holder, on=one.database, limit=None)
    if not said["valid"]:
        yield "; ".join(["the server finds it damaged", *map(str, said.get("errors", ()))])
