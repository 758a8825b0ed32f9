"""Figures of databases and collections: what is dear to ask, and so only now and then.

Each question is asked by itself. One that is refused, or that takes the server too long, as where
somebody holds a lock, costs its own figures.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import nan
from typing import Any, NamedTuple, Protocol

from bson import decode
from bson.raw_bson import RawBSONDocument

from mngdb.engines.mongodb.client import Document, Refused
from mngdb.engines.mongodb.metric_names import older
from mngdb.samples import Columns, Family, Kind, Labels, Ration, Sample, families

#: A dear question may take this share of a core of the server.
_SHARE = 0.002
#: Milliseconds that the server may take for an answer, and seconds until one that was refused is
#: asked again.
_PATIENCE, _LATER = 2000, 30.0
#: Milliseconds below which nothing more is asked.
_LEAST = 50
#: Numbers of dbStats that become metrics.
_DBSTATS = (
    "collections", "views", "objects", "avgObjSize", "dataSize", "storageSize", "indexes",
    "indexSize", "totalSize", "scaleFactor", "fsUsedSize", "fsTotalSize", "ok",
)  # fmt: skip
#: Those of a collection's storageStats: the exporter shows each number of the storage engine.
_COLLSTATS = (
    "size", "count", "avgObjSize", "storageSize", "freeStorageSize", "nindexes", "totalIndexSize",
    "totalSize",
)  # fmt: skip
#: Collections of a database that are counted: an app may make as many as it likes.
_COLLECTIONS = 500
_LEFT_OUT = "mngdb_mongodb_collections_left_out"
#: Collections of all databases whose size is asked for, the busiest: each is a question.
_SIZED = 100
_SERVERS_OWN = frozenset({"admin", "config", "local"})
_HELP = "Of the server's own statistics"


class Ask(Protocol):
    """Asks the server one thing. Raises Refused, ConnectError."""

    def __call__(self, name: str, value: Any = 1, *, on: str = "admin", **rest: Any) -> Document:
        """The reply to the command `name` in the database `on`."""
        ...


class _Known(NamedTuple):
    """What one question has come to."""

    metrics: Sequence[tuple[str, Kind]] = ()
    columns: Columns = Columns()


class Data:
    """What is known of databases and collections. Not for several threads."""

    def __init__(self) -> None:
        questions = (_versions, self._top, self._databases, self._collections)
        self._questions = [(question, Ration(_SHARE)) for question in questions]
        self._known = [_Known() for _ in questions]
        self._busy: list[str] = []
        self._left_out: list[Sample] = []

    def look(self, ask: Ask, base: Labels, deadline: float) -> list[str]:
        """Ask what is due. Returns the questions that were refused. Raises ConnectError."""
        refused = []

        def patiently(name: str, value: Any = 1, *, on: str = "admin", **rest: Any) -> Document:
            left = 1000 * (deadline - time.monotonic()) / 2
            if left < _LEAST:
                raise Refused("there was no time left to ask")
            return ask(name, value, on=on, maxTimeMS=int(min(left, _PATIENCE)), **rest)

        for number, (question, ration) in enumerate(self._questions):
            if ration.due:
                begun = time.monotonic()
                try:
                    self._known[number] = question(patiently, base)
                except Refused:
                    self._known[number] = _Known()
                    refused.append(question.__name__.strip("_"))
                    ration.wait(_LATER)
                else:
                    ration.spend(time.monotonic() - begun)
        return refused

    def families(self) -> Iterable[Family]:
        """What is known, under all names, one family at a time: they may be many samples."""
        text = f"Collections that are not counted: the {_COLLECTIONS} busiest of a database are"
        left_out = Family(_LEFT_OUT, "gauge", text, self._left_out)
        return chain(*(_families(*known) for known in self._known), [left_out])

    def _top(self, ask: Ask, base: Labels) -> _Known:
        # as objects, all at once, thousands of collections would take ten times their bytes
        totals = ask("top", raw=True)["totals"]
        every = {name: used for name, used in totals.items() if isinstance(used, RawBSONDocument)}
        there = _busiest({name: _time(decode(used.raw)) for name, used in every.items()})
        self._busy = sorted(there, key=lambda name: -there[name])
        self._left_out = [
            Sample(_LEFT_OUT, (("database", database),), float(count))
            for database, count in Counter(_database(name) for name in every.keys() - there).items()
        ]
        columns: dict[tuple[str, str], array[float]]
        columns = defaultdict(lambda: array("d", [nan]) * len(there))
        for row, name in enumerate(there):
            for kind, used in decode(every[name].raw).items():
                for word, value in used.items():
                    columns[kind, word][row] = float(value)
        labels = [_collection(base, name) for name in there]
        names = [f"mongodb_top_{kind}_{word}" for kind, word in columns]
        return _Known(
            [(name, kind_of(name)) for name in names], Columns(labels, [*columns.values()])
        )

    def _databases(self, ask: Ask, base: Labels) -> _Known:
        names = [str(one["name"]) for one in ask("listDatabases", nameOnly=True)["databases"]]
        rows = (
            ((*base, ("database", name)), _or_nothing(ask, "dbStats", on=name)) for name in names
        )
        return _numbers("mongodb_dbstats_", _DBSTATS, rows)

    def _collections(self, ask: Ask, base: Labels) -> _Known:
        """Of those that `top` has found the busiest."""
        apps = [name for name in self._busy if _database(name) not in _SERVERS_OWN]
        rows = ((_collection(base, name), _stored(ask, name)) for name in apps[:_SIZED])
        return _numbers("mongodb_collstats_storageStats_", _COLLSTATS, rows)


def _versions(ask: Ask, _: Labels) -> _Known:
    build = ask("buildInfo")
    reply = _or_nothing(ask, "getParameter", featureCompatibilityVersion=1)
    data = str(reply.get("featureCompatibilityVersion", {}).get("version", "nan"))
    own = (
        ("edition", "Enterprise" if "enterprise" in build.get("modules", ()) else "Community"),
        ("mongodb", str(build["version"])),
        ("vendor", "Percona" if "psmdbVersion" in build else "MongoDB"),
    )
    names = ("mongodb_version_info", "mongodb_fcv_feature_compatibility_version")
    values = [array("d", [1.0, nan]), array("d", [nan, float(data)])]
    return _Known([(name, "gauge") for name in names], Columns([own, (("version", data),)], values))


def _stored(ask: Ask, name: str) -> Document:
    """A collection's storageStats; empty for a view."""
    database, _, collection = name.partition(".")
    # all of it has hundreds of numbers of the storage engine
    few = {f"storageStats.{word}": 1 for word in _COLLSTATS}
    stages: list[Document] = [{"$collStats": {"storageStats": {}}}, {"$project": few}]
    reply = _or_nothing(ask, "aggregate", collection, on=database, pipeline=stages, cursor={})
    batch = reply.get("cursor", {}).get("firstBatch")
    found: Document = batch[0].get("storageStats", {}) if batch else {}
    return found


def _or_nothing(ask: Ask, name: str, value: Any = 1, **rest: Any) -> Document:
    """The reply; empty where the server refuses, for it is one of many."""
    try:
        return ask(name, value, **rest)
    except Refused:
        return {}


def _numbers(
    prefix: str, words: Sequence[str], rows: Iterable[tuple[Labels, Mapping[str, Any]]]
) -> _Known:
    """Some numbers of each document. None of these is kept: there may be many."""
    columns = [array("d") for _ in words]
    found = []
    for labels, values in rows:
        if values:
            found.append(labels)
            for word, column in zip(words, columns, strict=True):
                column.append(float(values.get(word, nan)))
    return _Known([(prefix + word, kind_of(word)) for word in words], Columns(found, columns))


def _families(metrics: Sequence[tuple[str, Kind]], columns: Columns) -> Iterator[Family]:
    """Each metric, and once more under its older names."""
    every = [
        (name, kind, values)
        for (new, kind), values in zip(metrics, columns.values, strict=True)
        for name in (new, *older(new))
    ]
    texts = [(name, kind, _HELP) for name, kind, _ in every]
    return families(texts, [Columns(columns.labels, [values for _, _, values in every])])


def kind_of(name: str) -> Kind:
    """The type that the exporter gives a number of this name."""
    return "counter" if name.lower().endswith("count") else "untyped"


def _collection(base: Labels, name: str) -> Labels:
    database, _, collection = name.partition(".")
    return (*base, ("collection", collection), ("database", database))


def _database(name: str) -> str:
    return name.partition(".")[0]


def _time(kinds: Mapping[str, Any]) -> float:
    return float(kinds.get("total", {}).get("time", 0))


def _busiest(times: Mapping[str, float]) -> dict[str, float]:
    """The collections of each database that took the most time, in their order, with their time."""
    counts: Counter[str] = Counter()
    found = set()
    for name in sorted(times, key=lambda name: -times[name]):
        counts[_database(name)] += 1
        if counts[_database(name)] <= _COLLECTIONS:
            found.add(name)
    return {name: spent for name, spent in times.items() if name in found}
