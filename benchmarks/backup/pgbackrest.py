"""pgBackRest on a stack's own PostgreSQL: zstd level 1 as ours, two processes, one repository with
its encryption (AES-256-CBC) and one without."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

from tests import trixie

from benchmarks.backup.bare import Owner, hand_over
from benchmarks.backup.measured import Ran, run, timed
from benchmarks.backup.source import Source

#: The name of a repository's folder to its number.
REPOSITORIES = {"encrypted": 1, "plain": 2}
_FILE = """\
[global]
repo1-path={folder}/encrypted
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass={password}
repo2-path={folder}/plain
compress-type=zst
compress-level=1
process-max=2
start-fast=y
expire-auto=n
repo1-retention-full=9
repo2-retention-full=9
log-level-console=warn
log-level-file=off
lock-path={folder}/lock
spool-path={folder}/spool

[main]
pg1-path={source.data}
pg1-port={source.port}
pg1-socket-path={source.sockets}
pg1-user={source.user}
"""


class PgBackRest:
    """In `folder`, which becomes the server's account's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = str(trixie.unpacked("pgbackrest") / "usr/bin/pgbackrest")
        self._file = folder / "pgbackrest.conf"
        self._env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        self._owner: Owner = None

    @property
    def archive_command(self) -> str:
        """What the server is to do with its log."""
        return f"{self._program} --config={self._file} --stanza=main archive-push %p"

    @property
    def version(self) -> str:
        """As it says itself."""
        said = subprocess.check_output([self._program, "version"], text=True)
        return said.strip()

    def begin(self, source: Source) -> None:
        """Set it up for a server that runs."""
        text = _FILE.format(folder=self._folder, password=secrets.token_hex(24), source=source)
        self._file.touch(0o600)
        self._file.write_text(text)
        self._run("stanza-create")
        self._owner = source.owner
        hand_over(self._folder, self._owner)

    def back_up(self, repository: str, kind: str = "full") -> Ran:
        """A full backup; `incr`: of the files that have changed since the last one."""
        options = (f"--type={kind}", f"--repo={REPOSITORIES[repository]}")
        found = timed(lambda: self._run("backup", *options))
        # the server archives as itself, and root has written what that reads
        hand_over(self._folder, self._owner)
        return found

    def restore(self, repository: str, into: Path) -> None:
        """The newest backup, as far as it is consistent."""
        options = ("--type=immediate", "--target-action=promote")
        self._run("restore", f"--repo={REPOSITORIES[repository]}", f"--pg1-path={into}", *options)

    def _run(self, *arguments: str) -> None:
        argv = [self._program, f"--config={self._file}", "--stanza=main", *arguments]
        run(argv, self._folder, self._env)
