"""Redis' metrics, under the names and labels of redis_exporter (1.69), in one round trip.

Left out of its names: `redis_db_keys_cached` (KeyDB's; with Redis 8 it shows another number), what
it counts of itself and of the Go runtime, and what its options for single keys and scripts add.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mngdb.engines.redis.client import RefusedError, Session
from mngdb.engines.redis.look import parse_info
from mngdb.engines.redis.metric_names import FIELDS
from mngdb.samples import Family, Kind, Sample

_SETTINGS = ("maxclients", "maxmemory", "io-threads", "databases", "client-output-buffer-limit")
_ASKING = (
    ("INFO", "all"),
    ("CONFIG", "GET", *_SETTINGS),
    ("SLOWLOG", "LEN"),
    ("SLOWLOG", "GET", "1"),
    ("LATENCY", "LATEST"),
    ("LATENCY", "HISTOGRAM"),
)
#: Labels of redis_instance_info, in their order, and the fields of INFO that they come from.
_INFO_LABELS = (
    "master_replid", "maxmemory_policy", "os", "process_id", "redis_build_id", "redis_mode",
    "redis_version", "role", "run_id", "tcp_port",
)  # fmt: skip
#: Words of status fields, as numbers.
_WORDS = {"ok": 1.0, "fail": 0.0, "err": 0.0, "up": 1.0, "down": 0.0}
_QUANTILES = {"p50": "50", "p99": "99", "p99.9": "99.9"}


class Metrics:
    """Scrapes one server over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def scrape(self, timeout: float) -> list[Family]:
        """Every family. What the login may not ask is left out. Raises ConnectError."""
        self._session.limit(timeout)
        info_text, *rest = self._session.ask_all(_ASKING)
        if isinstance(info_text, RefusedError):
            raise info_text
        return _families(parse_info(info_text), *rest)

    def close(self) -> None:
        """There is only the session."""


def _families(
    info: Mapping[str, str], config: Any, length: Any, entries: Any, spikes: Any, histogram: Any
) -> list[Family]:
    settings = _pairs(config)
    return [
        *_plain(info),
        *_derived(info),
        *_databases(info, int(settings.get("databases", 16))),
        *_commands(info, _pairs(histogram)),
        *_errors(info),
        *_replication(info),
        *_settings(settings),
        *_slow(length, entries),
        *_spikes(spikes),
    ]


def _pairs(answer: Any) -> dict[str, Any]:
    if isinstance(answer, RefusedError):
        return {}
    return dict(zip(answer[::2], answer[1::2], strict=True))


def _one(name: str, kind: Kind, text: str, value: float) -> Family:
    return Family(name, kind, text, (Sample(name, (), value),))


def _plain(info: Mapping[str, str]) -> Iterator[Family]:
    for field, (names, kind, divisor) in FIELDS.items():
        text = info.get(field)
        if text is not None:
            for name in names:
                yield _one(name, kind, f"{field} of INFO", _number(text) / divisor)


def _number(text: str) -> float:
    found = _WORDS.get(text)
    return float(text) if found is None else found


def _derived(info: Mapping[str, str]) -> Iterator[Family]:
    labels = tuple((name, info.get(name, "")) for name in _INFO_LABELS)
    name = "redis_instance_info"
    yield Family(name, "gauge", "What the server says of itself", (Sample(name, labels, 1.0),))
    if "server_time_usec" in info:
        started = int(info["server_time_usec"]) // 1_000_000 - int(info["uptime_in_seconds"])
        yield _one("redis_start_time_seconds", "gauge", "When the server started", float(started))


def _databases(info: Mapping[str, str], count: int) -> Iterator[Family]:
    keys, expiring, ttls = [], [], []
    for number in range(count):
        database = f"db{number}"
        labels = (("db", database),)
        found = _fields(info[database]) if database in info else {"keys": "0", "expires": "0"}
        keys.append(Sample("redis_db_keys", labels, float(found["keys"])))
        expiring.append(Sample("redis_db_keys_expiring", labels, float(found["expires"])))
        if "avg_ttl" in found:
            seconds = float(found["avg_ttl"]) / 1000
            ttls.append(Sample("redis_db_avg_ttl_seconds", labels, seconds))
    yield Family("redis_db_keys", "gauge", "Keys by database", keys)
    yield Family("redis_db_keys_expiring", "gauge", "Keys that expire, by database", expiring)
    yield Family("redis_db_avg_ttl_seconds", "gauge", "Average time to live", ttls)


#: Field of `cmdstat_…`, metric, divisor to its unit, help.
_STATISTICS = (
    ("calls", "redis_commands_total", 1.0, "Calls by command"),
    ("usec", "redis_commands_duration_seconds_total", 1e6, "Time spent by command"),
    ("rejected_calls", "redis_commands_rejected_calls_total", 1.0, "Calls refused by command"),
    ("failed_calls", "redis_commands_failed_calls_total", 1.0, "Calls failed by command"),
)


def _commands(info: Mapping[str, str], histograms: Mapping[str, Any]) -> Iterator[Family]:
    found = {
        key.removeprefix("cmdstat_"): _fields(value)
        for key, value in info.items()
        if key.startswith("cmdstat_")
    }
    for field, name, divisor, text in _STATISTICS:
        samples = [
            Sample(name, (("cmd", command),), float(values[field]) / divisor)
            for command, values in found.items()
            if field in values
        ]
        yield Family(name, "counter", text, samples)
    name, buckets = "redis_commands_latencies_usec", []
    for command, answer in histograms.items():
        # the login that asks has just used the command: INFO may not count it yet
        values, label = _pairs(answer), ("cmd", command)
        steps = values["histogram_usec"]
        for bound, number in zip(steps[::2], steps[1::2], strict=True):
            buckets.append(Sample(f"{name}_bucket", (label, ("le", str(bound))), float(number)))
        calls = float(values["calls"])
        total = float(found.get(command, {}).get("usec", 0))
        buckets.append(Sample(f"{name}_bucket", (label, ("le", "+Inf")), calls))
        buckets.append(Sample(f"{name}_sum", (label,), total))
        buckets.append(Sample(f"{name}_count", (label,), calls))
    yield Family(name, "histogram", "Latency by command, in microseconds", buckets)
    name, quantiles = "redis_latency_percentiles_usec", []
    head = "latency_percentiles_usec_"
    for key, value in info.items():
        if not key.startswith(head):
            continue
        command = key.removeprefix(head)
        for quantile, number in _fields(value).items():
            shown = _QUANTILES.get(quantile, quantile.removeprefix("p"))
            at = (("cmd", command), ("quantile", shown))
            quantiles.append(Sample(name, at, float(number)))
        counts = found.get(command, {})
        labels = (("cmd", command),)
        quantiles.append(Sample(f"{name}_sum", labels, float(counts.get("usec", 0))))
        quantiles.append(Sample(f"{name}_count", labels, float(counts.get("calls", 0))))
    yield Family(name, "summary", "Percentiles of latency by command", quantiles)


def _errors(info: Mapping[str, str]) -> Iterator[Family]:
    name, head = "redis_errors_total", "errorstat_"
    samples = [
        Sample(name, (("err", key.removeprefix(head)),), float(_fields(value)["count"]))
        for key, value in info.items()
        if key.startswith(head)
    ]
    yield Family(name, "counter", "Error answers by kind", samples)


def _replication(info: Mapping[str, str]) -> Iterator[Family]:
    lags, offsets = [], []
    for key, value in info.items():
        if not (key.startswith("slave") and key[5:].isdigit()):
            continue
        found = _fields(value)
        labels = tuple((f"slave_{name}", found[name]) for name in ("ip", "port", "state"))
        lags.append(Sample("redis_connected_slave_lag_seconds", labels, float(found["lag"])))
        offset = float(found["offset"])
        offsets.append(Sample("redis_connected_slave_offset_bytes", labels, offset))
    yield Family("redis_connected_slave_lag_seconds", "gauge", "Lag of a replica", lags)
    yield Family("redis_connected_slave_offset_bytes", "gauge", "Offset of a replica", offsets)
    if info.get("role") != "slave":
        return
    labels = tuple((name, info[name]) for name in ("master_host", "master_port"))
    for field, name in (
        ("master_link_status", "redis_master_link_up"),
        ("master_sync_in_progress", "redis_master_sync_in_progress"),
        ("master_last_io_seconds_ago", "redis_master_last_io_seconds_ago"),
    ):
        yield Family(
            name, "gauge", f"{field} of INFO", (Sample(name, labels, _number(info[field])),)
        )


def _settings(settings: Mapping[str, str]) -> Iterator[Family]:
    for setting, name in (
        ("maxclients", "redis_config_maxclients"),
        ("maxmemory", "redis_config_maxmemory"),
        ("io-threads", "redis_config_io_threads"),
    ):
        if setting in settings:
            yield _one(name, "gauge", f"The setting {setting}", float(settings[setting]))
    words = settings.get("client-output-buffer-limit", "").split()
    limits, seconds = [], []
    size = "redis_config_client_output_buffer_limit_bytes"
    time = "redis_config_client_output_buffer_limit_overcome_seconds"
    for kind, hard, soft, after in zip(*(words[i::4] for i in range(4)), strict=True):
        label = ("class", kind)
        limits.append(Sample(size, (label, ("limit", "hard")), float(hard)))
        limits.append(Sample(size, (label, ("limit", "soft")), float(soft)))
        seconds.append(Sample(time, (label, ("limit", "soft")), float(after)))
    yield Family(size, "gauge", "Buffer limits by class of clients", limits)
    yield Family(time, "gauge", "How long a soft limit may be exceeded", seconds)


def _slow(length: Any, entries: Any) -> Iterator[Family]:
    if isinstance(length, RefusedError) or isinstance(entries, RefusedError):
        return
    # an entry: its number, when, microseconds, the command
    number, took = (entries[0][0], entries[0][2]) if entries else (0, 0)
    name = "redis_last_slow_execution_duration_seconds"
    yield _one("redis_slowlog_length", "gauge", "Entries of the slow log", float(length))
    yield _one("redis_slowlog_last_id", "gauge", "Number of its last entry", float(number))
    yield _one(name, "gauge", "How long the last slow command took", took / 1e6)


def _spikes(spikes: Any) -> Iterator[Family]:
    if isinstance(spikes, RefusedError):
        return
    when, took = "redis_latency_spike_last", "redis_latency_spike_duration_seconds"
    # an event: its name, when, the last and the longest in milliseconds
    last = [Sample(when, (("event_name", e[0]),), float(e[1])) for e in spikes]
    durations = [Sample(took, (("event_name", e[0]),), e[2] / 1000) for e in spikes]
    yield Family(when, "gauge", "When the last latency spike was", last)
    yield Family(took, "gauge", "How long the last latency spike was", durations)


def _fields(text: str) -> dict[str, str]:
    """`calls=1,usec=5` as a mapping."""
    return dict(part.split("=", 1) for part in text.split(","))
