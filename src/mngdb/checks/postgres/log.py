"""What a PostgreSQL server writes down, so that a person can find out later."""

from __future__ import annotations

import re

from mngdb.checks.catalogue import checks
from mngdb.checks.postgres.settings import SETTINGS, setting, text
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, not_applicable

_DEBUG = ("debug_print_parse", "debug_print_rewritten", "debug_print_plan")
_UTC = {"UTC", "Etc/UTC", "GMT", "Etc/GMT", "UCT", "Etc/UCT"}
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


def _statements(facts: PostgresFacts) -> Judgement:
    found, loaded = text(facts, "log_statement"), text(facts, "shared_preload_libraries")
    good = found in {"ddl", "mod", "all"} or "pgaudit" in loaded
    return judged(good, f"log_statement {found}" + (", pgaudit" if "pgaudit" in loaded else ""))


def _zone(facts: PostgresFacts) -> Judgement:
    found = text(facts, "log_timezone")
    return judged(found in _UTC | {facts.wanted.get("log_timezone")}, f"log_timezone {found}")


def _debug(facts: PostgresFacts) -> Judgement:
    bad = [name for name in _DEBUG if text(facts, name) == "on"]
    return judged(not bad, f"{', '.join(bad) or 'none'} on")


def _file_mode(facts: PostgresFacts) -> Judgement:
    if text(facts, "logging_collector") != "on":
        return not_applicable("the server does not write log files itself")
    found = text(facts, "log_file_mode")
    return judged(int(found, 8) & 0o007 == 0, f"log_file_mode {found}")


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


CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.log-connections": setting(
            "log_connections", lambda value: value not in {"off", ""}
        ),
        "postgres.log-prefix": _prefix,
        "postgres.log-errors": _errors,
        "postgres.log-timezone": _zone,
        "postgres.log-statement": _statements,
        "postgres.log-debug": _debug,
        "postgres.log-mode": _file_mode,
        "postgres.statements": _statistics,
        "postgres.counters": _counts,
    },
    SETTINGS,
)
