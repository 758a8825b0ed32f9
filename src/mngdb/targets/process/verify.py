"""Ask a server's own program whether it would take its files, before anything is touched."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from mngdb import disk
from mngdb.errors import UsageError
from mngdb.model import Unit
from mngdb.run import run
from mngdb.targets.process.log_messages import cause

_TIMEOUT = 20.0
#: Lines that say nothing about the files, and what stands before a line's own words.
_NOISE = re.compile(r"skipping missing configuration file|contains errors|^try '.* --help' for")
_PREFIX = re.compile(r"^.*?\b(?:LOG|ERROR|FATAL|WARNING|HINT|DETAIL):\s+")


def verify(unit: Unit) -> None:
    """Raises UsageError with the program's own words when it does not take the unit's files."""
    if not unit.verify:
        return
    with tempfile.TemporaryDirectory(prefix="mngdb-") as folder:
        for file in unit.files:
            disk.write(Path(folder) / file.name, file.content)
        argv = [word.replace("{conf}", folder) for word in unit.verify]
        done = run(argv, timeout=_TIMEOUT, check=False)
    judge(unit, done)


def judge(unit: Unit, done: subprocess.CompletedProcess[str]) -> None:
    """Raises UsageError with the program's own words when it did not take the unit's files."""
    if done.returncode == 0:
        return
    lines = [_PREFIX.sub("", line) for line in done.stderr.splitlines() if not _NOISE.search(line)]
    said = re.sub(r' in file "[^"]*" line \d+', "", "; ".join(line for line in lines if line))
    said = said or cause(done.stdout)  # where mongod has its log
    raise UsageError(
        f"{unit.instance}: the server rejects its settings: {said or 'no message'}",
        f"see settings: of {unit.instance} in the file; 'mngdb config' lists all of them",
    )
