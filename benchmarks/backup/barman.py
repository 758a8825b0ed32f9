"""Barman on a stack's own PostgreSQL: `pg_basebackup` with zstd level 1 in two threads, and the log
streamed. It does not encrypt."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

from tests import debian

from benchmarks.backup.bare import hand_over
from benchmarks.backup.measured import Ran, run, timed
from benchmarks.backup.source import Source
from benchmarks.cold_up import program

VERSION = "3.19.1"
_FILE = """\
[barman]
barman_home = {home}
barman_lock_directory = {home}
barman_user = {user}
log_file = {home}/barman.log

[main]
description = of the stack
conninfo = {login} dbname=postgres
streaming_conninfo = {login}
backup_method = postgres
backup_compression = zstd
backup_compression_level = 1
backup_compression_workers = 2
backup_compression_location = client
immediate_checkpoint = true
streaming_archiver = on
slot_name = barman
create_slot = auto
path_prefix = {programs}
staging_path = {home}/staging
staging_location = local
"""
#: It copies the log with rsync, which is unpacked with its library.
_RSYNC = """\
#!/bin/sh
LD_LIBRARY_PATH={libraries} exec {rsync} "$@"
"""


class Barman:
    """In `folder`, for a server that runs."""

    def __init__(self, folder: Path, source: Source) -> None:
        self._folder = folder
        self._owner = source.owner
        self._env = {"PATH": f"{folder}/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        self._programs = _installed()
        for one in ("bin", "staging"):
            (folder / one).mkdir()
        _rsync(folder / "bin/rsync")
        secret = folder / "pgpass"
        secret.touch(0o600)
        secret.write_text(f"*:*:*:*:{source.password}\n")
        text = _FILE.format(
            home=folder,
            user=pwd.getpwuid(os.geteuid()).pw_name,
            login=f"host=127.0.0.1 port={source.port} user={source.user} passfile={secret}",
            programs=program("postgres").folder,
        )
        (folder / "barman.conf").write_text(text)
        self._run("receive-wal", "--create-slot", "main")
        with (folder / "receiver.log").open("wb") as log:
            self._receiver = subprocess.Popen(
                self._argv("receive-wal", "main"), cwd=folder, env=self._env, stdout=log, stderr=log
            )
        time.sleep(2)  # until it is connected
        self._run("switch-wal", "--force", "--archive", "main")

    def back_up(self) -> Ran:
        """A full backup that can be restored: its log has arrived, too."""
        return timed(lambda: self._run("backup", "--wait", "main"))

    def restore(self, into: Path) -> None:
        """The newest backup, and its log."""
        self._run("restore", "main", "latest", str(into))
        hand_over(into, self._owner)

    def close(self) -> None:
        """End what receives the log."""
        self._receiver.terminate()
        self._receiver.wait(60)

    def _run(self, *arguments: str) -> None:
        run(self._argv(*arguments), self._folder, self._env)

    def _argv(self, *arguments: str) -> list[str]:
        return [f"{self._programs}/barman", "-q", "-c", f"{self._folder}/barman.conf", *arguments]


def _installed() -> str:
    """Where its programs are: in an environment of its own, made when it is missing."""
    folder = debian.cache() / f"barman-{VERSION}"
    with debian.alone("barman"):
        if not (folder / "bin/barman").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [f"{folder}/bin/pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, f"barman=={VERSION}", "psycopg2-binary"], check=True)
    return f"{folder}/bin"


def _rsync(wrapper: Path) -> None:
    root = debian.unpacked("rsync", "libpopt0")
    libraries = next(iter(root.glob("usr/lib/*/libpopt.so.*"))).parent
    wrapper.write_text(_RSYNC.format(libraries=libraries, rsync=root / "usr/bin/rsync"))
    wrapper.chmod(0o755)
