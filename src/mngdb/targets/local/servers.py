"""Servers of this machine as processes: their data folders are made, they start and stop."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import StepError
from mngdb.identity import holdings
from mngdb.lock import held
from mngdb.model import Program, Unit
from mngdb.run import BARE, Account, spawn
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.targets.local import cache, ownership
from mngdb.targets.local.layout import Layout, UnitFolder
from mngdb.targets.local.prepare import Preparation
from mngdb.targets.process import log_messages, logs, machine, processes
from mngdb.targets.process.logs import Started
from mngdb.targets.process.processes import Process

#: Seconds that a server may take to stop: it writes what it holds in memory.
STOP_TIMEOUT = 120.0
#: Seconds after which a server on a full disk is not waited for: it cannot write what it holds.
_FULL = 10.0
#: Seconds that init may take to reap: most do it at once, some look every second.
_INIT_TIMEOUT = 5.0
#: Held while a server gets its limits: they are our own until its process has begun.
_LIMITS = Lock()
#: The environment of servers: nothing of ours, a neutral language, UTC.


class Servers(Struct, frozen=True):
    """The processes of a stack's units. `state`: the stack's folder."""

    state: Path
    layout: Layout

    def process(self, unit: str) -> Process | None:
        """The unit's running process."""
        folder, uid = self.layout.unit(unit), self.layout.uid(unit)
        places = (folder.data, folder.root)
        found = processes.find(folder.pidfile, uid, *places, log=folder.log)
        # also one whose folder was removed: it may hold the only copy
        if found is None and (folder.data.is_dir() or holdings.read(self.state, unit)):
            uids = self.layout.uids(unit)
            found = processes.working_in(uids, *places, but=folder.preparing)
        return found

    def missing(self, unit: str) -> str:
        """What is missing of the data that was there, for people; empty: nothing is."""
        folder = self.layout.unit(unit)
        missing = holdings.missing(self.state, unit, folder.data)
        process = self.process(unit) if missing and not folder.data.exists() else None
        moved = process.folder() if process else None
        if process is None or moved is None or moved == folder.root:
            return missing
        return f"{missing}; its server (pid {process.pid}) works in {moved}: move that back"

    def prepare(self, unit: Unit) -> None:
        """Make the data folder, whole or not at all."""
        self.fill(unit, lambda fresh, _: self._preparation(unit).make(fresh))

    def fill(self, unit: Unit, work: Callable[[Path, Account | None], None]) -> None:
        """Have `work` fill an empty data folder for an account, unless there is one already: whole
        or not at all."""
        folder, account = self.layout.prepare_unit(unit.name, unit.engine), self._account(unit)
        if folder.data.exists():
            return
        folder.seen.unlink(missing_ok=True)
        self._clear(folder)
        fresh = folder.root / f"data.new-{secrets.token_hex(4)}"
        disk.folder(fresh, owner=account)
        try:
            work(fresh, account)
            fresh.rename(folder.data)
            disk.sync(folder.root)
            holdings.made(self.state, unit.name)
        finally:
            self._clear(folder)

    def sync(self, unit: Unit) -> None:
        """Bring a new data folder to the disk; the server may run in it meanwhile."""
        disk.sync_tree(self.layout.unit(unit.name).data)
        self._preparation(unit).finish()

    def _preparation(self, unit: Unit) -> Preparation:
        folder, account = self.layout.unit(unit.name), self._account(unit)

        def begin(argv: Sequence[str]) -> Started:
            return self._spawn(argv, folder, folder.preparing, account)

        owner = hashlib.sha256(os.fsencode(folder.root)).hexdigest()[:8]
        copies = cache.copies(account) if unit.renewal else None
        return Preparation(unit, account, begin, copies, owner)

    def _clear(self, folder: UnitFolder) -> None:
        """End what a command that was killed left running, and remove what it began."""
        uid = self.layout.uid(folder.root.name)
        left = processes.find(folder.preparing, uid, folder.root)
        if left is not None:
            left.kill_group()
        folder.preparing.unlink(missing_ok=True)
        for path in folder.root.glob("data.new-*"):
            disk.remove(path)

    def _account(self, unit: Unit) -> Account | None:
        """Who runs a unit; None: we do."""
        return self.layout.account(unit.name, unit.engine)

    def _spawn(
        self, argv: Sequence[str], folder: UnitFolder, pidfile: Path, account: Account | None
    ) -> Started:
        with logs.appending(folder.log) as (sink, offset):
            process = spawn(
                argv,
                pidfile=pidfile,
                log=sink,
                env=BARE | {"HOME": str(folder.run)},
                account=account,
                cwd=folder.root,
                hold=held(self.state / "lock"),
            )
        return Started(process, folder.log, offset)

    def start(self, unit: Unit, program: Program | None) -> Started:
        """Start the server. It may not be ready yet; `check` tells whether it still lives."""
        self.layout.hand_over(unit.name, unit.engine)
        folder = self.layout.prepare_unit(unit.name, unit.engine)
        ownership.close(folder.data)
        if folder.log.exists() and folder.log.stat().st_size > logs.LOG_MAX:
            folder.log.replace(folder.log.with_suffix(".log.1"))
        folder.applied.unlink(missing_ok=True)
        offset = folder.log.stat().st_size if folder.log.exists() else 0
        read = {file.name: self.layout.read(folder.conf / file.name) or "" for file in unit.files}
        there = tuple(replace(file, content=read[file.name]) for file in unit.files)
        note = {"files": digest(replace(unit, files=there)), "log": offset}
        disk.write(folder.started, json.dumps(note), durable=False)
        processes.wait_for_init(folder.pidfile, self.layout.uid(unit.name), _INIT_TIMEOUT)
        with _LIMITS:
            machine.lift_limits(huge_pages=_huge_pages(unit, program))
            return self._spawn(unit.argv, folder, folder.pidfile, self._account(unit))

    def stop(self, unit: str, with_signal: int) -> bool:
        """Stop a unit cleanly. False if it did not run. Raises StepError when it takes too long, or
        when its data folder was removed: what it holds is the only copy."""
        process = self.process(unit)
        self._clear(self.layout.unit(unit))
        if process is None:
            # it died: the agent does not start again what was asked to stop
            self.layout.unit(unit).pidfile.unlink(missing_ok=True)
            return False
        missing = self.missing(unit)
        if missing:
            raise StepError(
                f"{unit}: {missing}; the server is still running, and its data is lost when it "
                "exits",
                "dump its data (pg_dump, redis-cli --rdb, mongodump); then kill it: kill -9 "
                f"{process.pid}",
            )
        log = self.layout.unit(unit).log
        begin = log.stat().st_size if log.exists() else 0

        def stays() -> str:
            """Why it has given up stopping; on a full disk not even its log has a word of it."""
            said = log_messages.stays(logs.tail(log, since=begin))
            if said or time.monotonic() > asked + _FULL:
                full = not shutil.disk_usage(log.parent).free
                return f"the disk under {log.parent} is full" if full else said
            return ""

        asked = time.monotonic()
        try:
            ended = process.stop(with_signal, STOP_TIMEOUT, lambda: bool(stays()))
        except KeyboardInterrupt:
            # it still stops: the agent does not take it for one that crashed
            self.layout.unit(unit).pidfile.unlink(missing_ok=True)
            raise
        if not ended:
            why = stays() or log_messages.cause(logs.tail(log, since=begin))
            raise StepError(
                f"{unit} (pid {process.pid}) did not stop; it is still running{why and f': {why}'}",
                f"'mngdb doctor' shows what it is doing; its log: {log}",
            )
        self.layout.unit(unit).pidfile.unlink(missing_ok=True)
        return True

    def kill(self, unit: str) -> None:
        """End a unit at once, with what it holds."""
        process = self.process(unit)
        if process is not None:
            process.kill_group()


def _huge_pages(unit: Unit, program: Program | None) -> bool:
    """Whether the server runs with transparent huge pages."""
    since = ENGINE_INFO[unit.engine].huge_pages
    if not since or program is None:
        return since == 0
    return int(program.version.split(".")[0]) >= since


def started_with(folder: UnitFolder) -> tuple[str, int]:
    """The digest of the files that a server was started with, and where its log began then."""
    try:
        found = json.loads(disk.read_own(folder.started) or "")
        return str(found["files"]), int(found["log"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", 0  # none was started yet, or by an earlier version


def digest(unit: Unit) -> str:
    """Tells the unit's files and arguments from others."""
    content = "\0".join(f"{file.name}\0{file.content}" for file in unit.files)
    whole = "\0".join(unit.argv) + "\0" + content
    return hashlib.sha256(whole.encode(errors="surrogateescape")).hexdigest()
