"""MongoDB's metrics, under the names and labels of Percona's mongodb_exporter (0.43).

Nearly everything is one document, which the server keeps for its own diagnosis (getDiagnosticData):
each number in it becomes a metric that is called like its path, and, where public dashboards plot
it so, like the exporter calls it with `--compatible-mode`. Left out of the exporter's names: its
second copy of replSetGetStatus without a prefix (`mongodb_members_…`; here `mongodb_rs_…`), and the
statistics of the network and of mount points below `mongodb_sys_`.

Each question is asked by itself: one that is refused costs its own figures.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from bson import Timestamp

from mngdb.engines.mongodb import metric_replica
from mngdb.engines.mongodb.client import Document, Refused, Session
from mngdb.engines.mongodb.metric_data import Ask, Data, kind_of
from mngdb.engines.mongodb.metric_names import compatible
from mngdb.samples import Family, Kind, Labels, Sample

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
_HELP = "Of the server's own statistics"
_REFUSED = "mngdb_mongodb_questions_refused"


class Metrics:
    """Scrapes one server over one session. Not for several threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cluster = ""
        self._data = Data()

    def scrape(self, timeout: float) -> Iterable[Family]:
        """Every family. `timeout` in seconds. Raises ConnectError."""
        deadline = time.monotonic() + timeout
        refused: list[str] = []

        def ask(name: str, value: Any = 1, *, on: str = "admin", **rest: Any) -> Document:
            left = max(0.05, deadline - time.monotonic())
            return self._session.command(name, value, on=on, limit=left, **rest)

        def tell(name: str, value: Any = 1, **rest: Any) -> Document:
            try:
                return ask(name, value, **rest)
            except Refused:
                refused.append(name)
                return {}

        data = tell("getDiagnosticData").get("data") or {
            name: tell(name) for name in ("serverStatus", "replSetGetStatus")
        }
        status, server = data.get("replSetGetStatus") or {}, data.get("serverStatus") or {}
        if not self._cluster and status:
            config = tell("replSetGetConfig").get("config", {})
            self._cluster = str(config.get("settings", {}).get("replicaSetId", ""))
        base = (
            ("cl_id", self._cluster),
            ("cl_role", ""),
            ("rs_nm", str(status.get("set", ""))),
            ("rs_state", str(status.get("myState", 0))),
        )
        found = _Found(base)
        found.walk(data, "", base)
        found.special(server)
        plain = found.families()
        apart = [
            *metric_replica.of_server(server),
            *metric_replica.of_set(status),
            *_oplog(status, tell),
        ]
        refused += self._data.look(ask, base, deadline)
        return chain(plain, compatible(plain), apart, self._data.families(), [_refused(refused)])

    def close(self) -> None:
        """There is only the session."""


def _oplog(status: Mapping[str, Any], tell: Ask) -> Iterable[Family]:
    head = status.get("optimes", {}).get("appliedOpTime", {}).get("ts")
    if not isinstance(head, Timestamp):
        return ()
    only = {"sort": {"$natural": 1}, "projection": {"ts": 1}, "batchSize": 1, "singleBatch": True}
    batch = tell("find", "oplog.rs", on="local", **only).get("cursor", {}).get("firstBatch")
    return metric_replica.oplog(float(head.time), float(batch[0]["ts"].time)) if batch else ()


def _refused(questions: Iterable[str]) -> Family:
    samples = [Sample(_REFUSED, (("question", one),), 1.0) for one in dict.fromkeys(questions)]
    return Family(_REFUSED, "gauge", "Questions that the server did not answer", samples)


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
    return "untyped" if name.startswith("mongodb_ss_locks_acquire") else kind_of(name)


def _family(name: str, samples: list[Sample]) -> Family:
    return Family(name, _kind(name), _HELP, samples)
