"""What a crash, a power cut or a lost disk would cost a PostgreSQL server."""

from __future__ import annotations

from mngdb.checks.postgres_settings import among, between, key, reset, setting, text, up
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, listed, no_matter

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
_SALVAGE = ("zero_damaged_pages", "ignore_checksum_failure", "ignore_invalid_pages")


def _overrides(facts: PostgresFacts) -> Judgement:
    bad = [
        f"{one.role or 'everybody'}{f' in {one.database}' * bool(one.database)}: "
        f"{one.name} {one.value}"
        for one in facts.overrides.value
        if _word(one.value) in _LOOSE.get(one.name, ())
    ]
    return listed(bad, "no role and no database has a looser setting than the server")


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
    return listed(bad, "damaged pages are errors")


def _standby(facts: PostgresFacts) -> Judgement:
    asked = text(facts, "synchronous_standby_names")
    if not asked:
        return no_matter("no standby is waited for")
    there = facts.server.value["synchronous"]
    return judged(there > 0, f"{asked!r} asked for, {there} connected")


def _archive(facts: PostgresFacts) -> Judgement:
    if text(facts, "archive_mode") == "off":
        return no_matter("nothing is archived")
    command, library = text(facts, "archive_command"), text(facts, "archive_library")
    if not command and not library:
        return judged(False, "archive_mode is on, with no command: the log piles up")
    if not library and "%p" not in command:
        return judged(False, "archive_command takes no file (no %p in it): nothing is kept")
    found = facts.archiver.value
    if found["failing"]:
        return judged(False, f"{found['failed']} failures, the last with {found['wal']}")
    return judged(True, f"{found['archived']} files archived, {found['failed']} failures before")


def _proved(facts: PostgresFacts) -> Judgement:
    if facts.restored is not None:
        return judged(facts.restored <= 90, f"restored {facts.restored:.0f} days ago")
    archive = text(facts, "archive_mode")
    return judged(False, f"no backup was ever restored; archive_mode {archive}")


CHECKS: tuple[Check[PostgresFacts], ...] = (
    Check(
        "postgres.fsync",
        "what is committed reaches the disk",
        "critical",
        setting("fsync", among("on")),
        "fsync on",
        up("fsync = on"),
        ("A10", "postgresql.org: Write Ahead Log"),
    ),
    Check(
        "postgres.full-page-writes",
        "a page that was half written is mended after a power cut",
        "critical",
        setting("full_page_writes", among("on")),
        "full_page_writes on",
        up("full_page_writes = on"),
        ("A10", "postgresql.org: Write Ahead Log"),
    ),
    Check(
        "postgres.synchronous-commit",
        "an app that was told of a commit keeps it",
        "high",
        _commits,
        "synchronous_commit on",
        up("synchronous_commit = on"),
        ("A10", "postgresql.org: Asynchronous Commit"),
    ),
    Check(
        "postgres.setting-overrides",
        "no role and no database undoes a safeguard of the server",
        "high",
        _overrides,
        "none of " + ", ".join(sorted(_LOOSE)),
        "ALTER ROLE NAME RESET setting, ALTER DATABASE NAME RESET setting",
        ("A10", "postgresql.org: ALTER ROLE", "pgdsat 6.6"),
    ),
    Check(
        "postgres.checksums",
        "a page that rots on the disk is noticed",
        "high",
        setting("data_checksums", among("on")),
        "data_checksums on",
        "pg_checksums --enable on the stopped server; 'mngdb up' makes new ones with checksums",
        ("A10", "postgresql.org: Data Checksums", "pgdsat 1.4.3"),
    ),
    Check(
        "postgres.salvage-off",
        "damaged pages are not passed over",
        "critical",
        _salvage,
        "all off",
        reset(*_SALVAGE),
        ("postgresql.org: Developer Options",),
    ),
    Check(
        "postgres.data-sync-retry",
        "after a failed fsync the server recovers instead of trusting its luck",
        "medium",
        setting("data_sync_retry", among("off")),
        "data_sync_retry off",
        key("data_sync_retry: 'off'"),
        ("postgresql.org: Error Handling",),
    ),
    Check(
        "postgres.restart-after-crash",
        "a crash of one session does not leave the server down",
        "high",
        setting("restart_after_crash", among("on")),
        "restart_after_crash on",
        key("restart_after_crash: 'on'"),
        ("postgresql.org: Error Handling",),
    ),
    Check(
        "postgres.wal-level",
        "the log is good for backups and replicas",
        "high",
        setting("wal_level", among("replica", "logical")),
        "wal_level replica",
        up("wal_level = replica", restart=True),
        ("A10", "postgresql.org: Continuous Archiving", "pgdsat 7.4"),
    ),
    Check(
        "postgres.wal-senders",
        "a base backup finds a free connection",
        "high",
        setting("max_wal_senders", between(2, 1 << 31)),
        "max_wal_senders 2 or more",
        up("max_wal_senders = 10", restart=True),
        ("A10", "postgresql.org: pg_basebackup", "pgdsat 7.5"),
    ),
    Check(
        "postgres.wal-summaries",
        "incremental backups are possible",
        "low",
        setting("summarize_wal", among("on")),
        "summarize_wal on",
        up("summarize_wal = on"),
        ("A10", "postgresql.org: pg_basebackup"),
    ),
    Check(
        "postgres.slot-limit",
        "a replica that is gone cannot fill the disk with log",
        "high",
        setting("max_slot_wal_keep_size", between(0, 1 << 40)),
        "max_slot_wal_keep_size with a limit",
        up("max_slot_wal_keep_size = '10GB'"),
        ("A10", "postgresql.org: Replication Slots"),
    ),
    Check(
        "postgres.wal-size",
        "checkpoints are not forced by a small log",
        "low",
        setting("max_wal_size", between(1024, 1 << 31)),
        "max_wal_size 1 GB or more",
        up("max_wal_size = '4GB'"),
        ("postgresql.org: WAL Configuration",),
    ),
    Check(
        "postgres.synchronous-standby",
        "a standby that commits wait for is there",
        "critical",
        _standby,
        "at least one of them connected",
        "start the standby, or " + reset("synchronous_standby_names"),
        ("postgresql.org: Synchronous Replication", "pgdsat 7.5"),
    ),
    Check(
        "postgres.archive-healthy",
        "the log is archived without failures",
        "critical",
        _archive,
        "the last attempt succeeded",
        "'mngdb logs INSTANCE' has the command's error; pg_stat_archiver has the file",
        ("A10", "postgresql.org: Continuous Archiving", "pgdsat 7.4"),
    ),
    Check(
        "postgres.backup-proved",
        "a backup was restored within 90 days",
        "critical",
        _proved,
        "a restore drill every 90 days",
        "none yet: backups and drills come with a later version",
        ("A10", "B7", "B8", "guide: MongoDB 4", "pgdsat 7.3", "guide: checklist"),
    ),
)
