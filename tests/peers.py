"""Tools that judge a PostgreSQL as `mngdb check` does, for the benchmarks: fetched once, into our
cache, never into mngdb's own environment.

`python -m tests.peers` fetches them, as any user.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from tests import trixie
from tests.debian import cache

#: 24 checks with thresholds, and 7 files of queries; takes psycopg 2 or 3.
_PERF = "pg-perf-check==0.1.0"


def perf_check() -> Path:
    """pg-perf-check, from PyPI."""
    folder = cache() / _PERF.replace("==", "-")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "peers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            # an environment knows its own path: it is made where it stays, and marked when whole
            work = folder.with_name(f".{folder.name}")
            shutil.rmtree(work, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(work))
            _run(str(work / "bin/python"), "-m", "pip", "install", "-q", _PERF, "psycopg[binary]")
            work.rename(folder)
    return folder / "bin/python"


def check_postgres() -> Path:
    """Debian's check_postgres, the plug-in for Nagios: Perl, one question a call, by psql."""
    return trixie.unpacked("check-postgres") / "usr/bin/check_postgres"


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, text=True, capture_output=True)


if __name__ == "__main__":
    print(perf_check())
    print(check_postgres())
