"""Servers that a provider runs and backs up: what they hold, as far as that is known without
reading all of it, and whether a restored one has it."""

from __future__ import annotations

from mngdb.engines.mongodb import collections
from mngdb.engines.mongodb.client import Session
from mngdb.engines.mongodb.collections import Collection
from mngdb.engines.mongodb.databases import every
from mngdb.engines.mongodb.prove import missing, trial
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
    def judged(one: Collection) -> tuple[list[str], str]:
        wrong = [*missing(one, traits)]
        if one.holder is None:
            return wrong, one.kind
        found = _count(session, one)
        if documents and not found and not one.expires:
            wrong.append(f"it is empty, and had about {many(documents, 'document')}")
        said = session.command("validate", one.holder, on=one.database, limit=None)
        if not said["valid"]:
            wrong.append(
                "; ".join(["the server finds it damaged", *map(str, said.get("errors", ()))])
            )
        return wrong, f"{many(found, 'document')}, {len(one.indexes)} indexes"

    return trial(name, one, judged)
