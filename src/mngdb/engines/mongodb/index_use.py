"""Unused, duplicate and missing indexes of MongoDB: $indexStats, and what the profiler saw.

The question that Atlas's Performance Advisor answers:
https://www.mongodb.com/docs/manual/reference/operator/aggregation/indexStats/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

from msgspec.structs import replace

from mngdb.engines.mongodb import indexes
from mngdb.engines.mongodb.client import EVERY_INDEX, Document, Refused, Session
from mngdb.engines.mongodb.databases import of_apps
from mngdb.facts.indexes import NOT_TOLD, Advice, IndexAdvice
from mngdb.facts.slow import Missing, Slow
from mngdb.model import DesiredInstance
from mngdb.spec.mongodb import Index

#: What makes an index more than a way to find things: it must not go for being unused.
_RULES = ("unique", "expireAfterSeconds")
_SAME = ("partialFilterExpression", "sparse", "collation", "unique", "expireAfterSeconds")
#: Smaller than this an index is not worth a thought, least of all one of an empty collection.
_SMALL = 64 << 10
#: Documents that are read as fast as an index.
_FEW = 1000
#: Bytes of an entry for each field, about.
_ENTRY = 24


def look(session: Session, asked: DesiredInstance, slow: Slow | None) -> Advice:
    """What to do about the indexes, and what slow operations lack (None: they are not known)."""
    wanted = [lack for one in slow.statements for lack in one.missing] if slow else []
    named = indexes.wanted(asked)
    found: list[IndexAdvice] = []
    notes = []
    for name in of_apps(session, asked):
        there: dict[str, list[list[str]]] = {}
        every = session.collections(name)
        for collection, about in every.items():
            if about["type"] != "collection" or collection.startswith("system."):
                continue
            try:
                stats = _stats(session, name, collection)
                sizes = session.command("collStats", collection, on=name)["indexSizes"]
            except Refused as error:
                notes.append(f"{name}.{collection} was skipped: {error.message}")
                continue
            there[collection] = [list(one["key"]) for one in stats]
            ours = named.get((name, collection), ())
            found += _of_collection(name, collection, stats, sizes, ours)
        proposed: list[Missing] = []
        for one in _on_collections(wanted, every):
            known = [
                *there.get(one.table, []),
                *(p.columns for p in proposed if p.table == one.table),
            ]
            if one.database == name and not any(map(one.served, known)):
                proposed.append(one)
        found += map(_missing, proposed)
    if slow is not None and slow.note:
        notes.append(f"{NOT_TOLD}: {slow.note}")
    return Advice(tuple(dict.fromkeys(found)), "; ".join(notes))


def _stats(session: Session, database: str, collection: str) -> list[Document]:
    stages: list[Document] = [{"$indexStats": {}}]
    reply = session.command(
        "aggregate", collection, on=database, pipeline=stages, cursor=EVERY_INDEX
    )
    found: list[Document] = reply["cursor"]["firstBatch"]
    return found


def _on_collections(wanted: Iterable[Missing], every: Mapping[str, Any]) -> Iterator[Missing]:
    """What a view lacks is what its collection lacks, where the view only leaves documents out."""
    for one in wanted:
        table = one.table
        while (about := every.get(table)) and about["type"] == "view":
            if any("$match" not in stage for stage in about["options"].get("pipeline", ())):
                break
            table = about["options"]["viewOn"]
        if about is not None and about["type"] != "view" and one.rows >= _FEW:
            yield replace(one, table=table)


def _of_collection(
    database: str,
    collection: str,
    stats: list[Document],
    sizes: Document,
    named: Sequence[Index],
) -> list[IndexAdvice]:
    """`named` are the indexes that the file has."""
    found = []
    needed = {id(_better(stats, one)) for one in stats if one["name"] != "_id_"}
    for one in stats:
        name, spec = one["name"], one["spec"]
        if name == "_id_":
            continue
        other = _better(stats, one)
        drop = f"db.getSiblingDB({json.dumps(database)})[{json.dumps(collection)}].dropIndex("
        statement, then = f"{drop}{json.dumps(name)})", ""
        keys = list(one["key"].items())
        ours = next((index for index in named if list(index.keys.items()) == keys), None)
        purpose = f" (the file: {ours.purpose})" if ours and ours.purpose else ""
        if ours:
            statement = f"mngdb up --allow {indexes.label(database, collection, name)}"
            then = "; first remove it from the file, or it is created again"
        size = int(sizes.get(name, 0))
        uses = int(one["accesses"]["ops"])
        if other is not None:
            reason = f"{other['name']} begins with the same fields"
            said = (reason + purpose, statement, f"none: the other index is used{then}")
            found.append(IndexAdvice("duplicate", database, collection, name, size, *said))
        elif id(one) in needed:
            continue  # it takes over the work of the other one
        elif uses == 0 and size >= _SMALL and not any(rule in spec for rule in _RULES):
            # since the index was made, or the server started
            since = one["accesses"]["since"].replace(tzinfo=UTC)
            first = "it is hidden already" if spec.get("hidden") else "test with hideIndex first"
            said = (
                f"not used since {since:%Y-%m-%d %H:%M} UTC{purpose}",
                statement,
                f"none now; {first}{then}",
            )
            found.append(
                IndexAdvice(
                    "unused", database, collection, name, size, *said, since=since.timestamp()
                )
            )
    return found


def _better(stats: list[Document], one: Document) -> Document | None:
    return next((o for o in stats if o is not one and _serves(o, one)), None)


def _serves(other: Document, one: Document) -> bool:
    """Whether `other` makes `one` superfluous: all its fields first, in order and direction."""
    if other["spec"].get("hidden"):
        return False
    mine, theirs = list(one["key"].items()), list(other["key"].items())
    if any(other["spec"].get(k) != one["spec"].get(k) for k in _SAME):
        return False
    return len(theirs) > len(mine) and theirs[: len(mine)] == mine


def _missing(one: Missing) -> IndexAdvice:
    keys: dict[str, Any] = dict.fromkeys(one.columns, 1)
    size = int(one.rows * _ENTRY * len(one.columns))
    where = f"db.getSiblingDB({json.dumps(one.database)})[{json.dumps(one.table)}]"
    return IndexAdvice(
        "missing",
        one.database,
        one.table,
        ", ".join(one.columns),
        size,
        f"an operation reads {one.rows:,.0f} documents to find these",
        f"{where}.createIndex({json.dumps(keys)})",
        f"about {max(1, size >> 20)} MB, and slower writes; better in mngdb.yaml: "
        f"indexes: {{{one.table}: [{{keys: {json.dumps(keys)}}}]}}",
    )
