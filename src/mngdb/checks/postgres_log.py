"""What a PostgreSQL server writes down, so that a person can find out later."""

from __future__ import annotations

import re

from mngdb.checks.postgres_settings import among, between, key, reset, setting, text, up
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, no_matter

_SLOWEST = 10_000
_DEBUG = ("debug_print_parse", "debug_print_rewritten", "debug_print_plan")
#: Levels of messages that hide none of an error's.
_ENOUGH = {"debug5", "debug4", "debug3", "debug2", "debug1", "info", "notice", "warning", "error"}


def _prefix(facts: PostgresFacts) -> Judgement:
    found = text(facts, "log_line_prefix")
    words = set(re.findall(r"%-?\d*([a-zA-Z])", found))
    missing = [
        name
        for name, letters in (
            ("the time", {"m", "t", "n"}),
            ("the process", {"p", "c"}),
            ("the login", {"u"}),
            ("the database", {"d"}),
        )
        if not words & letters
    ]
    lacks = f", lacks {', '.join(missing)}" if missing else ""
    return judged(not missing, f"log_line_prefix {found!r}{lacks}")


def _errors(facts: PostgresFacts) -> Judgement:
    least, statement = text(facts, "log_min_messages"), text(facts, "log_min_error_statement")
    good = least in _ENOUGH - {"error"} and statement in _ENOUGH
    return judged(good, f"log_min_messages {least}, log_min_error_statement {statement}")


def _verbosity(facts: PostgresFacts) -> Judgement:
    found = text(facts, "log_error_verbosity")
    return judged(found != "terse", f"log_error_verbosity {found}")


def _debug(facts: PostgresFacts) -> Judgement:
    bad = [name for name in _DEBUG if text(facts, name) == "on"]
    return judged(not bad, f"{', '.join(bad) or 'none'} on")


def _collector(facts: PostgresFacts) -> bool:
    return text(facts, "logging_collector") == "on"


def _file_mode(facts: PostgresFacts) -> Judgement:
    if not _collector(facts):
        return no_matter("the server keeps no log files by itself")
    found = text(facts, "log_file_mode")
    return judged(int(found, 8) & 0o007 == 0, f"log_file_mode {found}")


def _replication(facts: PostgresFacts) -> Judgement:
    found = text(facts, "log_replication_commands")
    return judged(found == "on", f"log_replication_commands {found}")


def _statistics(facts: PostgresFacts) -> Judgement:
    loaded = "pg_stat_statements" in text(facts, "shared_preload_libraries")
    made = bool(facts.server.value["statements"])
    words = ("loaded" if loaded else "not loaded") + ("" if made else ", no CREATE EXTENSION")
    return judged(loaded and made, f"pg_stat_statements: {words}")


def _counts(facts: PostgresFacts) -> Judgement:
    found = {name: text(facts, name) for name in ("track_counts", "track_activities")}
    return judged(
        all(value == "on" for value in found.values()),
        ", ".join(f"{name} {value}" for name, value in found.items()),
    )


_LOGGING = "postgresql.org: Error Reporting and Logging"
_STATISTICS = "postgresql.org: The Cumulative Statistics System"

CHECKS: tuple[Check[PostgresFacts], ...] = (
    Check(
        "postgres.log-connections",
        "the log tells who came",
        "medium",
        # 18 has a list of stages in place of on and off
        setting("log_connections", lambda value: value not in {"off", ""}),
        "log_connections on",
        up("log_connections = on"),
        (_LOGGING, "pgdsat 3.1.20"),
    ),
    Check(
        "postgres.log-disconnections",
        "the log tells who went, and after how long",
        "low",
        setting("log_disconnections", among("on")),
        "log_disconnections on",
        up("log_disconnections = on"),
        (_LOGGING, "pgdsat 3.1.21"),
    ),
    Check(
        "postgres.log-prefix",
        "every line of the log says when, where and who",
        "medium",
        _prefix,
        "time, process, login and database in log_line_prefix",
        up("log_line_prefix = '%m [%p] %q%u@%d %a '"),
        (_LOGGING, "pgdsat 3.1.24"),
    ),
    Check(
        "postgres.log-errors",
        "warnings are logged, and errors with their statement",
        "high",
        _errors,
        "log_min_messages warning, log_min_error_statement error (or more)",
        key("log_min_messages: warning, log_min_error_statement: error"),
        (_LOGGING, "pgdsat 3.1.14", "pgdsat 3.1.15"),
    ),
    Check(
        "postgres.log-verbosity",
        "errors are logged with their details",
        "low",
        _verbosity,
        "log_error_verbosity default or verbose",
        key("log_error_verbosity: default"),
        (_LOGGING, "pgdsat 3.1.22"),
    ),
    Check(
        "postgres.log-slow",
        "slow statements are logged",
        "medium",
        setting("log_min_duration_statement", between(0, _SLOWEST)),
        "log_min_duration_statement 0 to 10 seconds",
        "postgres: {slow: 500ms}, then 'mngdb up'",
        ("B10", _LOGGING),
    ),
    Check(
        "postgres.log-locks",
        "long waits for locks are logged",
        "medium",
        setting("log_lock_waits", among("on")),
        "log_lock_waits on",
        up("log_lock_waits = on"),
        ("A12", _LOGGING),
    ),
    Check(
        "postgres.log-checkpoints",
        "checkpoints are logged",
        "low",
        setting("log_checkpoints", among("on")),
        "log_checkpoints on",
        up("log_checkpoints = on"),
        (_LOGGING,),
    ),
    Check(
        "postgres.log-temporary",
        "what spills to the disk is logged",
        "low",
        setting("log_temp_files", between(0, 1 << 20)),
        "log_temp_files 0 to 1 GB",
        up("log_temp_files = '10MB'"),
        (_LOGGING,),
    ),
    Check(
        "postgres.log-vacuum",
        "long runs of autovacuum are logged",
        "low",
        setting("log_autovacuum_min_duration", between(0, 600_000)),
        "log_autovacuum_min_duration 0 to 10 minutes",
        up("log_autovacuum_min_duration = '1min'"),
        (_LOGGING,),
    ),
    Check(
        "postgres.log-replication",
        "who copies the server is logged",
        "low",
        _replication,
        "log_replication_commands on",
        up("log_replication_commands = on"),
        (_LOGGING, "pgdsat 7.2"),
    ),
    Check(
        "postgres.log-timezone",
        "the log's clock is the same on every server",
        "low",
        setting("log_timezone", among("UTC", "Etc/UTC", "GMT", "Etc/GMT", "UCT", "Etc/UCT")),
        "log_timezone UTC",
        up("log_timezone = 'UTC'"),
        (_LOGGING, "pgdsat 3.1.26"),
    ),
    Check(
        "postgres.log-debug",
        "the log is not flooded with parse trees",
        "low",
        _debug,
        "debug_print_parse, debug_print_rewritten, debug_print_plan off",
        reset(*_DEBUG),
        (_LOGGING, "pgdsat 3.1.16", "pgdsat 3.1.17", "pgdsat 3.1.18"),
    ),
    Check(
        "postgres.log-mode",
        "other accounts cannot read the log",
        "medium",
        _file_mode,
        "log_file_mode 0600 or 0640",
        key("log_file_mode: '0600'"),
        (_LOGGING, "pgdsat 3.1.6"),
    ),
    Check(
        "postgres.statements",
        "what statements cost is counted",
        "medium",
        _statistics,
        "pg_stat_statements in shared_preload_libraries, and CREATE EXTENSION",
        "'mngdb up'; elsewhere both by hand, and a restart",
        ("B10", "postgresql.org: pg_stat_statements"),
    ),
    Check(
        "postgres.counters",
        "activity is counted: autovacuum lives on it",
        "high",
        _counts,
        "track_counts and track_activities on",
        reset("track_counts", "track_activities"),
        (_STATISTICS,),
    ),
    Check(
        "postgres.io-timing",
        "waits for the disk are measured",
        "low",
        setting("track_io_timing", among("on")),
        "track_io_timing on",
        up("track_io_timing = on"),
        (_STATISTICS,),
    ),
)
