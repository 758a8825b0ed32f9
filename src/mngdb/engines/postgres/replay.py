"""A base backup becomes a cluster: its log is replayed, to a moment where one is asked for.

PostgreSQL does it in single-user mode: nobody can come in before it has ended, it says how it ended
by its exit code, and none of the settings stays, since all of them are on its command line.
https://www.postgresql.org/docs/current/runtime-config-wal.html#RUNTIME-CONFIG-WAL-RECOVERY-TARGET
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from mngdb import disk
from mngdb.engines.postgres import drops, replication, segments, unpack
from mngdb.engines.postgres.render import settings
from mngdb.errors import MngdbError
from mngdb.model import DesiredInstance
from mngdb.run import BARE, Account, last_line, run
from mngdb.snapshot import Saved

#: A week, in seconds: replay takes as long as it takes.
_LONG = 7 * 86_400.0
_FATAL = re.compile(r"\b(?:FATAL|PANIC):\s+(.*)")
#: What PostgreSQL says where nothing was committed after the moment.
_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+)")
_EARLY = "recovery ended before configured recovery target was reached"
#: Beside the server's own, as they are by the file.
_SETTINGS = {
    "config_file": "/dev/null",
    "restore_command": "false",  # all there is lies in pg_wal
    "recovery_target_action": "promote",
    "recovery_target_timeline": "current",
    "recovery_target_inclusive": "on",
    "hot_standby": "off",
    "archive_mode": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_min_messages": "log",
    # at once, not a flush of the disk for each file
    "recovery_init_sync_method": "syncfs",
    "lc_messages": "C",
    "timezone": "UTC",
}


class OvershotError(MngdbError):
    """More was replayed than was there at the moment: again from the beginning, `exact`."""


def recover(
    asked: DesiredInstance,
    saved: Saved,
    folder: Path,
    account: Account | None,
    *,
    exact: bool = False,
) -> None:
    """Replay the log of an unpacked base backup up to `Saved.until`, or to `Saved.stop`, where the
    log that is laid ends; None: up to its own end. The cluster then begins another timeline: what
    it writes is told from what the archive has.

    A target that the log does not reach is an error to PostgreSQL, after all the work. A log that
    seems to end before is replayed without one, unless `exact`: when that was wrong, raises
    OvershotError. Raises MngdbError."""
    server = _Server(asked, folder, account)
    unpack.disarm(folder, account)
    unpack.file(iter(()), folder / "recovery.signal", account)
    if saved.until is None:
        server.replay({"recovery_target": "immediate"})
        return
    log = segments.lay(saved, folder / "pg_wal", account)
    _spare(asked, saved, log, folder / "pg_wal", account)
    until = datetime.fromtimestamp(saved.until, UTC)
    target = {"recovery_target_time": until.isoformat(" ", "microseconds")}
    reached = saved.stop is None and (exact or log.there > saved.until)
    if reached and server.replay(target) is not None:
        return
    last = server.replay({})
    log.check(server.replayed())
    if saved.stop is None and last and datetime.fromisoformat(last) > until:
        raise OvershotError("the log goes on after the moment")


def _spare(
    asked: DesiredInstance, saved: Saved, log: segments.Log, wal: Path, account: Account | None
) -> None:
    """Have the log end before what it drops too early."""
    begin, until = saved.taken.log, saved.until
    if saved.stop is not None or begin is None or until is None or asked.site is None:
        return
    programs = Path(asked.site.program.folder)
    early = drops.first_uncommitted(programs, wal, begin, until, account)
    if early is not None:
        segments.cut(log, begin.branch, early, wal, account)


class _Server(Struct, frozen=True):
    """The server's program on a folder that nobody else uses."""

    asked: DesiredInstance
    folder: Path
    account: Account | None

    def replay(self, target: Mapping[str, str]) -> str | None:
        """Replay to a target. Returns when the last transaction ended, empty where there was none;
        None: the log ends before the target. Raises MngdbError."""
        site = self.asked.site
        if site is None:
            raise ValueError("there is no program to replay with")
        wanted = {**settings(self.asked), **_SETTINGS, **target}
        options = [f"--{name}={value}" for name, value in wanted.items()]
        done = run(
            [site.program.server, "--single", "-D", str(self.folder), *options, "postgres"],
            timeout=_LONG,
            env=BARE,
            account=self.account,
            cwd=self.folder,
            check=False,
        )
        if done.returncode == 0:
            return "".join(_LAST.findall(done.stderr)[-1:])
        said = _FATAL.findall(done.stderr) or [last_line(done.stderr)]
        if said[-1] == _EARLY:
            return None
        raise MngdbError(f"PostgreSQL could not replay the log: {said[-1]}")

    def replayed(self) -> int:
        """Where the replay ended. Raises MngdbError."""
        with disk.acting(self.account):
            newest = max(self.folder.glob("pg_wal/*.history"), default=None)
            text = disk.read_own(newest, owners=None) if newest is not None else None
        lines = [line for line in (text or "").splitlines() if line.strip()]
        if not lines:
            raise MngdbError("PostgreSQL has not begun a new timeline after its recovery")
        return replication.lsn(lines[-1].split("\t")[1])
