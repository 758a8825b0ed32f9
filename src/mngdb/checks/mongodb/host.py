"""The process of a MongoDB server: its account, its files, its log, what it warned of."""

from __future__ import annotations

from mngdb.checks.catalogue import checks
from mngdb.facts.mongodb import MongodbFacts
from mngdb.findings import Check, Judgement, judged, listed, not_applicable

#: Startup warnings that are the machine's, or that another check judges, by a word of theirs.
_JUDGED_APART = (
    *("XFS", "hugepage", "max_map_count", "NUMA", "swappiness", "overcommit", "glibc", "rseq"),
    "memory allocator",
    *("rlimits", "Access control", "root user", "bound to localhost", "cache size"),
)
_AS_ROOT = "as the root user"


def _appended(facts: MongodbFacts) -> Judgement:
    options = facts.options.value
    if options.get("systemLog.destination") != "file":
        return not_applicable("the server writes no log file")
    found = options.get("systemLog.logAppend") == "true"
    return judged(found, "logAppend " + ("true" if found else "false: a restart replaces the log"))


def _no_warnings(facts: MongodbFacts) -> Judgement:
    left = [
        text
        for text, details in facts.warnings.value
        if not any(word in text + details for word in _JUDGED_APART)
    ]
    return listed(left, "none except about the host", most=3)


def _no_root(facts: MongodbFacts) -> Judgement:
    root = any(_AS_ROOT in text for text, _ in facts.warnings.value)
    return judged(not root, "runs as root" if root else "an unprivileged account")


def _private(facts: MongodbFacts, *names: str) -> Judgement:
    found = {name: facts.modes[name] for name in names if name in facts.modes}
    if not found:
        return not_applicable("its files are not on this host")
    bad = [f"{name} {mode:04o}" for name, mode in found.items() if mode & 0o077]
    return listed(bad, ", ".join(f"{name} {mode:04o}" for name, mode in found.items()))


CHECKS: tuple[Check[MongodbFacts], ...] = checks(
    __file__,
    {
        "mongodb.log-append": _appended,
        "mongodb.startup-warnings": _no_warnings,
        "mongodb.root": _no_root,
        "mongodb.secret-files": lambda facts: _private(facts, "key file", "configuration"),
        "mongodb.data-folder": lambda facts: _private(facts, "data folder"),
    },
)
