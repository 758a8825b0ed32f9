"""What the exporter tells apart with `--compatible-mode`: of a replica set, and a few sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from mngdb.samples import Family, Labels, Sample

_PREFIX = "mongodb_mongod_"
_REPLICA = _PREFIX + "replset_"
#: The state of a server that is of no set.
_UNKNOWN = 6
_SUMS = {
    "wiredtiger_cache_evicted_total": (
        ("wiredTiger", "cache", "modified pages evicted"),
        ("wiredTiger", "cache", "unmodified pages evicted"),
    ),
    "locks_time_acquiring_global_microseconds_total": (
        ("locks", "Global", "timeAcquiringMicros", "r"),
        ("locks", "Global", "timeAcquiringMicros", "w"),
    ),
}


def of_server(status: Mapping[str, Any]) -> Iterator[Family]:
    """From serverStatus."""
    for name, paths in _SUMS.items():
        total = sum(float(_at(status, path) or 0) for path in paths)
        yield _family(_PREFIX + name, [((), total)])
    engine = _at(status, ("storageEngine", "name"))
    if engine:
        yield _family(_PREFIX + "storage_engine", [((("engine", str(engine)),), 1.0)])


def of_set(status: Mapping[str, Any]) -> Iterator[Family]:
    """From replSetGetStatus; empty where the server is of no set."""
    of = ("set", str(status.get("set", "")))
    yield _family(_REPLICA + "my_state", [((of,), float(status.get("myState", _UNKNOWN)))])
    members = status.get("members", ())
    if not members:
        return
    yield _family(_REPLICA + "number_of_members", [((of,), float(len(members)))])
    primary: Mapping[str, Any] = next(
        (one for one in members if one.get("stateStr") == "PRIMARY"), {}
    )
    found: dict[str, list[tuple[Labels, float]]] = {}
    for one in members:
        labels = (
            ("name", str(one.get("name", ""))),
            ("self", "1" if one.get("self") else "0"),
            of,
            ("state", str(one.get("stateStr", ""))),
        )
        for name, value in _of_member(one, primary.get("optimeDate")):
            found.setdefault(name, []).append((labels, value))
    for name, samples in found.items():
        yield _family(_REPLICA + name, samples)


def _of_member(one: Mapping[str, Any], applied: datetime | None) -> Iterator[tuple[str, float]]:
    """`applied`: how far the primary is."""
    if one.get("self"):
        yield "my_name", 1.0
    if "electionTime" in one:
        yield "member_election_date", float(one["electionTime"].time)
    own = one.get("optimeDate")
    if own and applied and one.get("stateStr") != "PRIMARY":
        yield "member_replication_lag", abs(_seconds(own) - _seconds(applied))
    if "pingMs" in one:
        yield "member_ping_ms", float(one["pingMs"])
    yield "member_last_heartbeat", _seconds(one.get("lastHeartbeat"))
    yield "member_last_heartbeat_recv", _seconds(one.get("lastHeartbeatRecv"))
    if one.get("configVersion", 0) > 0:
        yield "member_config_version", float(one["configVersion"])


def oplog(head: float, tail: float) -> Iterator[Family]:
    """When the oplog begins and ends, in seconds since 1970: between them lies its window."""
    for name, value in (("head", head), ("tail", tail)):
        yield _family(f"{_REPLICA}oplog_{name}_timestamp", [((), value)])


def _seconds(moment: datetime | None) -> float:
    """Whole seconds since 1970; 0 for never."""
    return float(int(moment.replace(tzinfo=UTC).timestamp())) if moment else 0.0


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _family(name: str, samples: list[tuple[Labels, float]]) -> Family:
    text = "Of the server's own statistics, under an older name"
    return Family(name, "gauge", text, [Sample(name, *one) for one in samples])
