"""A collection, brought from a restored server back into the live one.

It is built under a name that no app uses, and renamed once it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from msgspec.structs import replace

from mngdb.engines.mongodb import collections, load
from mngdb.engines.mongodb.client import Refused, Session
from mngdb.engines.mongodb.collections import Collection
from mngdb.errors import ConnectError, MngdbError, StepError, UsageError
from mngdb.part import Agree, Brought, Part, Took

_BUILDING = "mngdb_restoring_"
_SERVERS_OWN = frozenset({"admin", "config", "local"})
#: Bytes of a namespace, at most (since version 4.4).
_LONGEST = 255
_EVERYWHERE = {"w": "majority", "j": True}


def named(session: Session, part: Part) -> str:
    """See Backup.named."""
    database, name = _split(part.text)
    if database in _SERVERS_OWN or name.startswith("system."):
        raise UsageError(f"{part.text} is the server's own: restore beside instead")
    there = session.collections(database)
    if not part.renamed and name not in there:
        return part.text
    found = part.renamed or name + part.suffix
    if len(f"{database}.{_BUILDING}{found}".encode()) > _LONGEST:
        raise UsageError(f"the name {found!r} is too long", "choose another name: --as NAME")
    if "$" in found or "\0" in found or found.startswith("system."):
        raise UsageError(f"{found!r} is no name for a collection", "--as NAME")
    if found in there:
        raise UsageError(
            f"the live server has {database}.{found} already", "choose another name: --as NAME"
        )
    return f"{database}.{found}"


def bring(
    source: Session,
    target: Session,
    part: Part,
    agree: Agree,
    took: Took,
) -> Brought:
    """See Backup.bring."""
    database, name = _split(part.text)
    wanted = _split(part.renamed)[1]
    try:
        one = _found(source, database, name)
        plan = _plan(source, one, part.renamed)
        agree(plan)
        for left in target.collections(database):
            if left.startswith(_BUILDING):  # a killed command's
                target.command("drop", left, on=database)
        if one.holder is None:
            target.command("create", wanted, on=database, **one.options)
            return plan
        count = _built(source, target, one, wanted, took)
        return replace(plan, counts={**plan.counts, "documents": count})
    except (Refused, ConnectError) as error:
        raise StepError(f"MongoDB refused: {error.message}", error.hint) from None


def _split(text: str) -> tuple[str, str]:
    database, dot, name = text.partition(".")
    if not (database and dot and name):
        raise UsageError(f"{text!r} is not a collection", "--collection DATABASE.COLLECTION")
    return database, name


def _found(source: Session, database: str, name: str) -> Collection:
    for one in collections.of_database(source, database):
        if one.name == name:
            break
    else:
        raise UsageError(f"there was no collection {database}.{name} at that moment")
    if one.kind == "timeseries":
        raise UsageError(
            f"{one.namespace} is a time series, which MongoDB cannot rename once it is whole",
            "restore beside, without --collection, and copy it with mongodump and mongorestore",
        )
    return one


def _plan(source: Session, one: Collection, renamed: str) -> Brought:
    if one.holder is None:
        return Brought(name=renamed, counts={}, notes=("it is a view",))
    size = source.command("collStats", one.name, on=one.database)
    notes = ["the server soon removes documents that have expired since"] if one.expires else []
    return Brought(
        name=renamed,
        counts={
            "documents": int(size["count"]),
            "bytes": int(size["size"]),
            "indexes": len(one.indexes),
        },
        notes=tuple(notes),
    )


def _built(source: Session, target: Session, one: Collection, wanted: str, took: Took) -> int:
    """Make it whole under its new name; how many documents it has."""
    building = replace(one, name=f"{_BUILDING}{wanted}")
    count = 0

    def documents() -> Iterator[bytes]:
        nonlocal count
        for batch in source.batches(one.database, one.name):
            count += len(batch)
            piece = b"".join(batch)
            took(len(piece))
            yield piece

    try:
        load.make(target, building, present=False)
        with ThreadPoolExecutor(load.AT_ONCE, "mngdb-load") as pool:
            load.fill(target, pool, building, documents())
        load.index(target, building)
        _counted(target, building, count)
        target.command(
            "renameCollection",
            building.namespace,
            to=f"{one.database}.{wanted}",
            writeConcern=_EVERYWHERE,  # and so all that was written before
        )
    except BaseException:
        with suppress(MngdbError):  # the next command removes it
            target.command("drop", building.name, on=one.database)
        raise
    return count


def _counted(target: Session, one: Collection, count: int) -> None:
    there = int(target.command("count", one.name, on=one.database, limit=None)["n"])
    if there != count:
        raise StepError(f"{count} documents were to be brought, but {there} came")
