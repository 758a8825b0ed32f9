"""What a MongoDB server runs with: parameters, profiler, log."""

from __future__ import annotations

from typing import Any

from mngdb.checks.catalogue import checks
from mngdb.checks.mongodb.settings import SETTINGS
from mngdb.facts.mongodb import MongodbFacts
from mngdb.findings import Check, Judgement, judged, listed, not_applicable


def _no_scripts(facts: MongodbFacts) -> Judgement:
    if facts.javascript:
        return not_applicable("the file enables it")
    found = facts.options.value.get("security.javascriptEnabled", "true (the default)")
    return judged(found == "false", f"javascriptEnabled {found}")


def _profiled(facts: MongodbFacts) -> Judgement:
    found = facts.profilers.value
    if not found:
        return not_applicable("no database")
    off = [name for name, level in found.items() if level == 0]
    return listed(off, f"on in {len(found)} databases")


def _not_all(facts: MongodbFacts) -> Judgement:
    found = facts.profilers.value
    if not found:
        return not_applicable("no database")
    full = [f"{name} (level 2)" for name, level in found.items() if level == 2]
    return listed(full, "no database has level 2")


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


CHECKS: tuple[Check[MongodbFacts], ...] = checks(
    __file__,
    {
        "mongodb.javascript": _no_scripts,
        "mongodb.profiler": _profiled,
        "mongodb.profiler-cost": _not_all,
        "mongodb.slow-threshold": _slow,
        "mongodb.feature-version": _compatible,
        "mongodb.log-verbosity": _quiet_log,
    },
    SETTINGS,
)
