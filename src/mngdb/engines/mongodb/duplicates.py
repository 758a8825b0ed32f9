"""Why a unique index cannot be: the values that stand more than once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mngdb.errors import StepError
from mngdb.spec.mongodb import Index

if TYPE_CHECKING:
    from mngdb.engines.mongodb.client import Session


@contextmanager
def explain(session: Session, database: str, collection: str, index: Index) -> Iterator[None]:
    """Turn the server's refusal of an index into a StepError that says what is in the way."""
    from mngdb.engines.mongodb.client import DUPLICATE_KEY, Refused

    try:
        yield
    except Refused as error:
        if error.code == DUPLICATE_KEY:
            require_unique(session, database, collection, index)
        raise StepError(
            f"the index {index.label} of {database}.{collection} cannot be built: {error.message}"
        ) from None


def require_unique(session: Session, database: str, collection: str, index: Index) -> None:
    """Raise StepError when values stand more than once in the fields of `index`."""
    reply = session.command(
        "aggregate",
        collection,
        on=database,
        limit=None,
        pipeline=_pipeline(index),
        cursor={},
        allowDiskUse=True,
    )
    found = reply["cursor"]["firstBatch"]
    if not found:
        return
    one = found[0]
    values = one["first"]["_id"]
    fields = list(index.keys)
    shown = (
        _shown(values["k0"])
        if len(fields) == 1
        else ", ".join(f"{field} {_shown(values[f'k{i}'])}" for i, field in enumerate(fields))
    )
    count = one["values"]
    raise StepError(
        f"{count} value{'s occur' if count > 1 else ' occurs'} more than once in "
        f"{database}.{collection}.{'+'.join(fields)}, for example {shown[:80]} "
        f"({one['first']['n']} documents)",
        "make them different, then run 'mngdb up' again; the collection is unchanged",
    )


def _shown(value: object) -> str:
    return "null (or missing)" if value is None else repr(value)


def _pipeline(index: Index) -> list[dict[str, Any]]:
    """Count values by document, as a unique index does: a list counts by its elements."""
    fields = list(index.keys)
    stages: list[dict[str, Any]] = []
    if index.partial is not None:
        stages.append({"$match": index.partial})
    if index.sparse:
        stages.append({"$match": {"$or": [{field: {"$exists": True}} for field in fields]}})
    for field in fields:
        parts = field.split(".")
        for depth in range(1, len(parts) + 1):
            path = "$" + ".".join(parts[:depth])
            stages.append({"$unwind": {"path": path, "preserveNullAndEmptyArrays": True}})
    # a missing field counts as null
    values = {f"k{i}": {"$ifNull": [f"${field}", None]} for i, field in enumerate(fields)}
    return [
        *stages,
        {"$group": {"_id": {"document": "$_id", "values": values}}},
        {"$group": {"_id": "$_id.values", "n": {"$sum": 1}}},
        {"$match": {"n": {"$gt": 1}}},
        {"$sort": {"n": -1, "_id": -1}},
        {"$group": {"_id": None, "values": {"$sum": 1}, "first": {"$first": "$$ROOT"}}},
    ]
