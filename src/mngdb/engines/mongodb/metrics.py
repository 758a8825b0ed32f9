"""MongoDB's metrics, under the names and labels of Percona's mongodb_exporter (0.43).

Nearly everything is one document, which the server keeps for its own diagnosis (getDiagnosticData):
each number in it becomes a metric that is called like its path. Left out of the exporter's names:
its second copy of replSetGetStatus without a prefix (`mongodb_members_…`; here `mongodb_rs_…`),
and the statistics of the network and of mount points below `mongodb_sys_`.
"""

from __future__ import annotations

import re
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from math import nan
from typing import Any

from bson import Timestamp

from mngdb.engines.mongodb.client import Document, Session
from mngdb.samples import Columns, Family, Kind, Ration, Sample, families

Labels = tuple[tuple[str, str], ...]

#: Path to the short form that begins a metric's name. The first that fits counts.
_PREFIXES = (
    ("serverStatus.wiredTiger.transaction.", "ss_wt_txn_"),
    ("serverStatus.wiredTiger.", "ss_wt_"),
    ("serverStatus.", "ss_"),
    ("replSetGetStatus.", "rs_"),
    ("systemMetrics.", "sys_"),
    ("local.oplog.rs.stats.wiredTiger.", "oplog_stats_wt_"),
    ("local.oplog.rs.stats.", "oplog_stats_"),
)
#: Paths whose next step is the value of a label, not a part of the name.
_LABELS = {
    "serverStatus.asserts": "assert_type",
    "serverStatus.connections": "conn_type",
    "serverStatus.globalLock.currentQueue": "count_type",
    "serverStatus.metrics.commands": "cmd_name",
    "serverStatus.metrics.cursor.open": "csr_type",
    "serverStatus.metrics.document": "doc_op_type",
    "serverStatus.opReadConcernCounters": "concern_type",
    "serverStatus.opcounters": "legacy_op_type",
    "serverStatus.opcountersRepl": "legacy_op_type",
    "serverStatus.transactions.commitTypes": "commit_type",
    "serverStatus.wiredTiger.perf": "perf_bucket",
}
#: The first two are in `_Found.special`, the others are the machine's and not the server's.
_SKIPPED = frozenset(
    {
        "serverStatus.opLatencies",
        "serverStatus.wiredTiger.concurrentTransactions",
        "systemMetrics.netstat",
        "systemMetrics.mounts",
        "systemMetrics.vmstat",
    }
)
#: A dear question may take this share of a core of the server.
_SHARE = 0.002
#: Numbers of dbStats that become metrics.
_DBSTATS = (
    "collections", "views", "objects", "avgObjSize", "dataSize", "storageSize", "indexes",
    "indexSize", "totalSize", "scaleFactor", "fsUsedSize", "fsTotalSize", "ok",
)  # fmt: skip
#: Collections of a database that are counted: an app may make as many as it likes.
_COLLECTIONS = 500
_LEFT_OUT = "mngdb_mongodb_collections_left_out"
_HELP = "Of the server's own statistics"
_OPLOG = "mongodb_mongod_replset_oplog_"


class Metrics:
    """Scrapes one server over one session. Not for several threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cluster = ""
        self._dear = [(ask, Ration(_SHARE)) for ask in (self._ask_top, self._ask_databases)]
        self._left_out: list[Sample] = []
        self._kept: list[tuple[list[str], Columns]] = [([], Columns()) for _ in self._dear]

    def scrape(self, timeout: float) -> Iterable[Family]:
        """Every family. `timeout` in seconds. Raises ConnectError, Refused."""
        deadline = time.monotonic() + timeout
        data = self._ask(deadline, "getDiagnosticData")["data"]
        status = data.get("replSetGetStatus", {})
        if not self._cluster and status:
            settings = self._ask(deadline, "replSetGetConfig")["config"]["settings"]
            self._cluster = str(settings.get("replicaSetId", ""))
        base = (
            ("cl_id", self._cluster),
            ("cl_role", ""),
            ("rs_nm", str(status.get("set", ""))),
            ("rs_state", str(status.get("myState", 0))),
        )
        found = _Found(base)
        found.walk(data, "", base)
        found.special(data.get("serverStatus", {}))
        oplog = list(self._oplog(status, base, deadline))
        for number, (ask, ration) in enumerate(self._dear):
            if ration.due:
                begun = time.monotonic()
                self._kept[number] = ask(base, deadline)
                ration.spend(time.monotonic() - begun)
        return chain(found.families(), oplog, *(_kept(*one) for one in self._kept), [self._left()])

    def _left(self) -> Family:
        text = f"Collections that are not counted: the {_COLLECTIONS} busiest of a database are"
        return Family(_LEFT_OUT, "gauge", text, self._left_out)

    def close(self) -> None:
        """There is only the session."""

    def _ask(
        self, deadline: float, name: str, value: Any = 1, *, on: str = "admin", **rest: Any
    ) -> Document:
        left = max(0.05, deadline - time.monotonic())
        return self._session.command(name, value, on=on, limit=left, **rest)

    def _oplog(self, status: Mapping[str, Any], base: Labels, deadline: float) -> Iterator[Family]:
        """When the oplog begins and ends: between them lies its window."""
        head = status.get("optimes", {}).get("lastAppliedWallTime")
        if not isinstance(head, datetime):
            return
        reply = self._ask(
            deadline,
            "find",
            "oplog.rs",
            on="local",
            sort={"$natural": 1},
            batchSize=1,
            projection={"ts": 1},
            singleBatch=True,
        )
        batch = reply["cursor"]["firstBatch"]
        if not batch:
            return
        for name, value, text in (
            ("head_timestamp", head.timestamp(), "When the last operation was applied"),
            ("tail_timestamp", float(batch[0]["ts"].time), "When the oldest one was written"),
        ):
            sample = Sample(_OPLOG + name, base, value)
            yield Family(_OPLOG + name, "gauge", text, (sample,))

    def _ask_top(self, base: Labels, deadline: float) -> tuple[list[str], Columns]:
        totals = self._ask(deadline, "top")["totals"]
        every = {name: kinds for name, kinds in totals.items() if isinstance(kinds, dict)}
        there = _busiest(every)
        self._left_out = [
            Sample(_LEFT_OUT, (("database", database),), float(count))
            for database, count in Counter(_database(name) for name in every.keys() - there).items()
        ]
        words = dict.fromkeys(
            (kind, word)
            for kinds in there.values()
            for kind, used in kinds.items()
            for word in used
        )
        columns = [
            array("d", (float(kinds.get(kind, {}).get(word, nan)) for kinds in there.values()))
            for kind, word in words
        ]
        places = [name.partition(".") for name in there]
        labels = [(*base, ("collection", place[2]), ("database", place[0])) for place in places]
        names = [f"mongodb_top_{kind}_{word}" for kind, word in words]
        return names, Columns(labels, columns)

    def _ask_databases(self, base: Labels, deadline: float) -> tuple[list[str], Columns]:
        columns = [array("d") for _ in _DBSTATS]
        labels = []
        names = self._ask(deadline, "listDatabases", nameOnly=True)["databases"]
        for document in names:
            database = str(document["name"])
            values = self._ask(deadline, "dbStats", on=database)
            labels.append((*base, ("database", database)))
            for name, column in zip(_DBSTATS, columns, strict=True):
                column.append(float(values.get(name, nan)))
        return [f"mongodb_dbstats_{name}" for name in _DBSTATS], Columns(labels, columns)


def _database(name: str) -> str:
    return name.partition(".")[0]


def _busiest(every: Mapping[str, Any]) -> dict[str, Any]:
    """The collections of each database that took the most time."""
    busy = sorted(every, key=lambda name: -every[name].get("total", {}).get("time", 0))
    counts: Counter[str] = Counter()
    found = set()
    for name in busy:
        counts[_database(name)] += 1
        if counts[_database(name)] <= _COLLECTIONS:
            found.add(name)
    return {name: kinds for name, kinds in every.items() if name in found}


class _Found:
    """Numbers of a document, as families."""

    def __init__(self, base: Labels) -> None:
        self._base = base
        self._samples: dict[str, list[Sample]] = {}

    def walk(self, document: Mapping[str, Any], path: str, labels: Labels) -> None:
        """Every number below `document`, whose own path is `path` (with a dot at its end)."""
        for key, value in document.items():
            kind = type(value)
            if kind is dict:
                if path + key not in _SKIPPED:
                    self.walk(value, f"{path}{key}.", labels)
            elif kind is list:
                self._members(value, f"{path}{key}.")
            else:
                number = _number(value)
                if number is not None:
                    name, label = _name(path, key)
                    at = (*labels, (label, key)) if label else labels
                    self._add(name, at, number)

    def _members(self, values: list[Any], path: str) -> None:
        for value in values:
            if isinstance(value, dict) and "name" in value:
                labels: Labels = (*self._base, ("member_idx", str(value["name"])))
                if "stateStr" in value:
                    labels = (*labels, ("member_state", str(value["stateStr"])))
                self.walk(value, path, labels)

    def special(self, status: Mapping[str, Any]) -> None:
        """What the exporter shows by labels of its own, without those of the replica set."""
        for kind, values in status.get("opLatencies", {}).items():
            for word in ("latency", "ops"):
                self._add(f"mongodb_ss_opLatencies_{word}", (("op_type", kind),), values[word])
        tickets = status.get("wiredTiger", {}).get("concurrentTransactions", {})
        for kind, values in tickets.items():
            for word, value in values.items():
                name = f"mongodb_ss_wt_concurrentTransactions_{word}"
                self._add(name, (("txn_rw", kind),), value)
        for resource, counts in status.get("locks", {}).items():
            for word, modes in counts.items():
                for mode, value in modes.items():
                    labels = (("lock_mode", mode), ("resource", resource))
                    self._add(f"mongodb_ss_locks_{word}", labels, value)

    def _add(self, name: str, labels: Labels, value: float) -> None:
        self._samples.setdefault(name, []).append(Sample(name, labels, float(value)))

    def families(self) -> list[Family]:
        """What was found, by metric."""
        return [_family(name, samples) for name, samples in self._samples.items()]


def _number(value: Any) -> float | None:
    """Times in the unit of BSON's own types: milliseconds for dates, seconds for timestamps."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, datetime):
        return float(round(value.replace(tzinfo=UTC).timestamp() * 1000))
    if isinstance(value, Timestamp):
        return float(value.time)
    return None


@lru_cache(maxsize=16384)
def _name(path: str, key: str) -> tuple[str, str]:
    """The metric of the number `key` at `path`, and the label that has the key, if any does."""
    label = _LABELS.get(path[:-1], "")
    full = path if label else path + key
    for long, short in _PREFIXES:
        if full.startswith(long):
            full = short + full.removeprefix(long)
            break
    words = re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_]+", "_", full))
    return f"mongodb_{words.strip('_')}", label


@lru_cache(maxsize=16384)
def _kind(name: str) -> Kind:
    # the exporter has types for what it walks, and none for what it shows apart
    apart = name.startswith("mongodb_ss_locks_acquire")
    return "counter" if name.lower().endswith("count") and not apart else "untyped"


def _kept(names: list[str], columns: Columns) -> Iterator[Family]:
    return families([(name, _kind(name), _HELP) for name in names], [columns])


def _family(name: str, samples: list[Sample]) -> Family:
    return Family(name, _kind(name), _HELP, samples)
