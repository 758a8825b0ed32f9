"""The process of a MongoDB server: its account, its files, its log, what it warned of."""

from __future__ import annotations

from mngdb.facts.mongodb import MongodbFacts
from mngdb.findings import Check, Judgement, judged, listed, no_matter

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
        return no_matter("it writes no log file of its own")
    found = options.get("systemLog.logAppend") == "true"
    return judged(found, "logAppend " + ("true" if found else "false: a restart begins a new file"))


def _no_warnings(facts: MongodbFacts) -> Judgement:
    left = [
        text
        for text, details in facts.warnings.value
        if not any(word in text + details for word in _JUDGED_APART)
    ]
    return listed(left, "none but of the machine", most=3)


def _no_root(facts: MongodbFacts) -> Judgement:
    root = any(_AS_ROOT in text for text, _ in facts.warnings.value)
    return judged(not root, "it runs as root" if root else "an account of its own")


def _private(facts: MongodbFacts, *names: str) -> Judgement:
    found = {name: facts.modes[name] for name in names if name in facts.modes}
    if not found:
        return no_matter("its files are not on this machine")
    bad = [f"{name} {mode:04o}" for name, mode in found.items() if mode & 0o077]
    return listed(bad, ", ".join(f"{name} {mode:04o}" for name, mode in found.items()))


def _secret_files(facts: MongodbFacts) -> Judgement:
    return _private(facts, "key file", "configuration")


def _data_folder(facts: MongodbFacts) -> Judgement:
    return _private(facts, "data folder")


_CIS = "CIS MongoDB 7 v1.2.0"

CHECKS: tuple[Check[MongodbFacts], ...] = (
    Check(
        "mongodb.log-append",
        "a restart keeps the log",
        "low",
        _appended,
        "systemLog.logAppend true",
        "systemLog.logAppend: true in mongod.conf",
        ("mongodb.com: configuration file options", f"{_CIS}: 5.4"),
    ),
    Check(
        "mongodb.startup-warnings",
        "it started without a warning of its own",
        "low",
        _no_warnings,
        "none but those of the machine, which are judged apart",
        "as each warning says; db.adminCommand({getLog: 'startupWarnings'})",
        ("mongodb.com: operations checklist",),
    ),
    Check(
        "mongodb.root",
        "it does not run as root",
        "high",
        _no_root,
        "an account of its own",
        "'mngdb up' drops to one; elsewhere: processManagement and the service's User=",
        ("mongodb.com: security checklist", f"{_CIS}: 3.3"),
    ),
    Check(
        "mongodb.secret-files",
        "nobody else reads its key file and configuration",
        "critical",
        _secret_files,
        "0600",
        "chmod 600; 'mngdb up' writes them anew",
        ("mongodb.com: internal authentication", f"{_CIS}: 7.1"),
    ),
    Check(
        "mongodb.data-folder",
        "nobody else reads its data folder",
        "high",
        _data_folder,
        "0700",
        "chmod 700",
        ("mongodb.com: security checklist", f"{_CIS}: 7.2"),
    ),
)
