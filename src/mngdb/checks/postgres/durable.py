"""What a crash, a power cut or a lost disk would cost a PostgreSQL server."""

from __future__ import annotations

from msgspec.structs import replace

from mngdb.checks.catalogue import checks
from mngdb.checks.postgres.settings import SETTINGS, look, size, text
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, listed, not_applicable

#: Settings of a role or a database that undo what the server promises, by the values that do.
_LOOSE = {
    "synchronous_commit": {"off", "local"},
    "password_encryption": {"md5"},
    "session_replication_role": {"replica"},
    "zero_damaged_pages": {"on"},
    "ignore_checksum_failure": {"on"},
    "row_security": {"off"},
    "standard_conforming_strings": {"off"},
}
#: What else PostgreSQL takes for `off` and `on`.
_OFF = {"of", "false", "fals", "fal", "fa", "f", "no", "n", "0"}
_ON = {"true", "tru", "tr", "t", "yes", "ye", "y", "1"}
#: Seconds that a statement may wait for the store at its end.
_STUCK = 10.0
#: What has the log stored again.
_STORES = (
    "'mngdb up' starts the agent; if it runs, the store takes nothing: 'mngdb status' shows why "
    "(free space in it, or bring it back)"
)
_SALVAGE = ("zero_damaged_pages", "ignore_checksum_failure", "ignore_invalid_pages")


def _overrides(facts: PostgresFacts) -> Judgement:
    bad = [
        f"{one.role or 'all roles'}{f' in {one.database}' * bool(one.database)}: "
        f"{one.name} {one.value}"
        for one in facts.overrides.value
        if _word(one.value) in _LOOSE.get(one.name, ())
    ]
    return listed(bad, "no weaker setting for a role or database")


def _word(value: str) -> str:
    word = value.lower()
    return "off" if word in _OFF else "on" if word in _ON else word


def _commits(facts: PostgresFacts) -> Judgement:
    found = text(facts, "synchronous_commit")
    # nobody but this server is waited for, then
    alone = found == "local" and not text(facts, "synchronous_standby_names")
    good = alone or found in {"on", "remote_apply", "remote_write"}
    return judged(good, f"synchronous_commit {found}")


def _salvage(facts: PostgresFacts) -> Judgement:
    bad = [name for name in _SALVAGE if text(facts, name) == "on"]
    return listed(bad, "all off")


def _standby(facts: PostgresFacts) -> Judgement:
    asked = text(facts, "synchronous_standby_names")
    if facts.recovery_point != "stream":
        return _archived(facts, asked)
    if not asked:
        return not_applicable("no synchronous standby is configured")
    there = facts.server.value["synchronous"]
    return judged(there > 0, f"{asked!r} configured, {there} connected")


def _archived(facts: PostgresFacts, asked: str) -> Judgement:
    """Whether commits wait for the archive of the log, as the file asks, and it stores them."""
    mode = f"recovery_point {facts.recovery_point}"
    if asked != facts.archive:
        told = f"for {asked!r}, not" if asked else "not"
        text = f"{mode}: commits do {told} wait for the store of the log"
        return Judgement("fail", text, remedy="" if asked else _STORES)
    found = facts.server.value
    if facts.archive not in (found["standbys"] or ()):
        text = f"{mode}: commits wait, and nobody writes the log to the store"
        return Judgement("fail", text, remedy=_STORES)
    stuck = found["waited"] or 0.0
    waits = f"one has waited for {stuck:.0f} s" if stuck > _STUCK else "they are stored"
    judgement = judged(stuck <= _STUCK, f"{mode}: commits wait for {asked!r}, {waits}")
    return replace(judgement, remedy=_STORES)


def _archive(facts: PostgresFacts) -> Judgement:
    if text(facts, "archive_mode") == "off":
        return not_applicable("archive_mode off")
    command, library = text(facts, "archive_command"), text(facts, "archive_library")
    if not command and not library:
        return judged(False, "archive_mode on without a command: WAL accumulates")
    if not library and "%p" not in command:
        return judged(False, "archive_command has no %p: nothing is archived")
    found = facts.archiver.value
    if found["failing"]:
        return judged(False, f"{found['failed']} failures, the last with {found['wal']}")
    return judged(True, f"{found['archived']} files archived, {found['failed']} earlier failures")


def _slot_limit(facts: PostgresFacts) -> Judgement:
    """It is good whatever it comes to: an archive that is away for longer begins anew."""
    name = "max_slot_wal_keep_size"
    if look(facts, name) is None:
        return not_applicable(f"this version has no {name}")
    limit = size(facts, name)
    if limit < 0:
        return judged(False, f"{name} {limit}")
    told = f"{name} {limit >> 20} MB"
    if facts.wal_rate.found:
        lasts = _hours(limit / facts.wal_rate.found)
        told += f": enough for an archive that is away for {lasts}, as WAL is written now"
    return judged(True, told)


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} h" if hours >= 1 else f"{seconds / 60:.0f} min"


CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.synchronous-commit": _commits,
        "postgres.setting-overrides": _overrides,
        "postgres.salvage-off": _salvage,
        "postgres.synchronous-standby": _standby,
        "postgres.archive-healthy": _archive,
        "postgres.slot-limit": _slot_limit,
    },
    SETTINGS,
)
