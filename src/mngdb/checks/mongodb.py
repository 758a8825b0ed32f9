"""What has to be true of a MongoDB server in production.

Sources: the requirements (B4 to B11, B22), the guide's chapters, the manual's pages (mongodb.com:
"security checklist", "production notes", "operations checklist" and those named below), and the
titles of the CIS MongoDB 7 Benchmark v1.2.0 as Tenable's public list of its audit items gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mngdb.checks import (
    mongodb_access,
    mongodb_health,
    mongodb_host,
    mongodb_network,
    mongodb_replica,
)
from mngdb.facts.mongodb import MongodbFacts
from mngdb.findings import Check, Judgement, judged, listed, no_matter


def _parameter(name: str, good: Callable[[Any], bool]) -> Callable[[MongodbFacts], Judgement]:
    """Judges one value of getParameter."""

    def judge(facts: MongodbFacts) -> Judgement:
        value = facts.parameters.value.get(name)
        if value is None:
            return no_matter(f"this version has no {name}")
        shown = str(value).lower() if isinstance(value, bool) else value
        return judged(good(value), f"{name} {shown}")

    return judge


def _is(wanted: object) -> Callable[[Any], bool]:
    return lambda value: bool(value == wanted)


def _between(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: low <= int(value) <= high


def _no_scripts(facts: MongodbFacts) -> Judgement:
    if facts.javascript:
        return no_matter("the file asks for it")
    found = facts.options.value.get("security.javascriptEnabled", "true (the default)")
    return judged(found == "false", f"javascriptEnabled {found}")


def _profiled(facts: MongodbFacts) -> Judgement:
    found = facts.profilers.value
    if not found:
        return no_matter("there is no database")
    off = [name for name, level in found.items() if level == 0]
    return listed(off, f"on in {len(found)} databases")


def _not_all(facts: MongodbFacts) -> Judgement:
    found = facts.profilers.value
    if not found:
        return no_matter("there is no database")
    full = [f"{name} (level 2)" for name, level in found.items() if level == 2]
    return listed(full, "no database is profiled whole")


def _slow(facts: MongodbFacts) -> Judgement:
    found = facts.slow.value
    return judged(0 <= found <= 100, f"slowms {found}")


def _compatible(facts: MongodbFacts) -> Judgement:
    found = str(facts.parameters.value["featureCompatibilityVersion"]["version"])
    version = str(facts.status.value["version"])
    return judged(version.startswith(f"{found}."), f"{found} on MongoDB {version}")


def _quiet_log(facts: MongodbFacts) -> Judgement:
    components = facts.parameters.value["logComponentVerbosity"]
    loud = [f"{name} {level}" for name, level in _levels(components, "") if level > 0]
    return listed(loud, "verbosity 0")


def _levels(tree: dict[str, Any], head: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            found += _levels(value, f"{head}{name}.")
        else:
            found.append(((head or "everything.").removesuffix("."), int(value)))
    return found


def _set(text: str) -> str:
    return f"db.adminCommand({{setParameter: 1, {text}}})"


_CIS = "CIS MongoDB 7 v1.2.0"
_PARAMETERS = "mongodb.com: parameters"
_PROFILER = "mongodb.com: database profiler"

SETTINGS: tuple[Check[MongodbFacts], ...] = (
    Check(
        "mongodb.javascript",
        "no code of clients runs inside the server",
        "medium",
        _no_scripts,
        "security.javascriptEnabled false, unless the file says 'javascript: true'",
        "'mngdb up'; elsewhere: security.javascriptEnabled: false in mongod.conf",
        ("mongodb.com: security checklist", f"{_CIS}: 6.3"),
    ),
    Check(
        "mongodb.test-commands",
        "commands for tests are off",
        "critical",
        _parameter("enableTestCommands", _is(False)),
        "enableTestCommands false",
        "mongod.conf without setParameter.enableTestCommands, and a restart",
        (_PARAMETERS,),
    ),
    Check(
        "mongodb.ttl-monitor",
        "documents expire",
        "high",
        _parameter("ttlMonitorEnabled", _is(True)),
        "ttlMonitorEnabled true",
        _set("ttlMonitorEnabled: true"),
        ("B9", "guide: MongoDB 5", "mongodb.com: TTL indexes"),
    ),
    Check(
        "mongodb.diagnostics",
        "the server keeps its own record of the last days",
        "low",
        _parameter("diagnosticDataCollectionEnabled", _is(True)),
        "diagnosticDataCollectionEnabled true",
        _set("diagnosticDataCollectionEnabled: true"),
        ("mongodb.com: full time diagnostic data capture",),
    ),
    Check(
        "mongodb.flow-control",
        "writes slow down before secondaries fall behind",
        "low",
        _parameter("enableFlowControl", _is(True)),
        "enableFlowControl true",
        _set("enableFlowControl: true"),
        ("B11", "mongodb.com: replication lag"),
    ),
    Check(
        "mongodb.cursor-timeout",
        "forgotten cursors are closed",
        "medium",
        _parameter("cursorTimeoutMillis", _between(1, 600_000)),
        "cursorTimeoutMillis at most 600000 (ten minutes)",
        _set("cursorTimeoutMillis: 600000"),
        (_PARAMETERS, "mongodb.com: cursors"),
    ),
    Check(
        "mongodb.transaction-lifetime",
        "transactions end",
        "medium",
        _parameter("transactionLifetimeLimitSeconds", _between(1, 60)),
        "transactionLifetimeLimitSeconds at most 60",
        _set("transactionLifetimeLimitSeconds: 60"),
        ("mongodb.com: production considerations for transactions",),
    ),
    Check(
        "mongodb.profiler",
        "slow operations are profiled",
        "medium",
        _profiled,
        "level 1 in each database of the apps",
        "'mngdb up'; elsewhere: db.setProfilingLevel(1, {slowms: 100})",
        ("B9", "guide: MongoDB 5", _PROFILER),
    ),
    Check(
        "mongodb.profiler-cost",
        "no database is profiled whole",
        "medium",
        _not_all,
        "level 1 or 0",
        "db.setProfilingLevel(1, {slowms: 100})",
        (_PROFILER,),
    ),
    Check(
        "mongodb.slow-threshold",
        "what takes over 100 ms is slow",
        "medium",
        _slow,
        "slowms at most 100",
        "mongodb: {slow: 100ms}, then 'mngdb up'",
        ("B9", "guide: MongoDB 5", _PROFILER),
    ),
    Check(
        "mongodb.feature-version",
        "the data has the format of the running version",
        "medium",
        _compatible,
        "featureCompatibilityVersion is the server's",
        "db.adminCommand({setFeatureCompatibilityVersion: 'VERSION'})",
        ("mongodb.com: setFeatureCompatibilityVersion",),
    ),
    Check(
        "mongodb.log-verbosity",
        "the log holds what matters, and not every command",
        "medium",
        _quiet_log,
        "verbosity 0",
        "db.setLogLevel(0), and for each component that is named",
        ("mongodb.com: log messages",),
    ),
    Check(
        "mongodb.log-quiet",
        "the log says who connects",
        "medium",
        _parameter("quiet", _is(False)),
        "quiet false",
        _set("quiet: false"),
        ("mongodb.com: configuration file options", f"{_CIS}: 5.3"),
    ),
)

CHECKS = (
    *mongodb_access.CHECKS,
    *mongodb_network.CHECKS,
    *mongodb_host.CHECKS,
    *SETTINGS,
    *mongodb_replica.CHECKS,
    *mongodb_health.CHECKS,
)
