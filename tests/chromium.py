"""Chromium from Debian's packages, with the libraries that this machine does not have: unpacked
into the cache, never installed. `python -m tests.chromium` fetches it, as any user.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from tests.debian import apt, cache

_PACKAGE = "chromium-headless-shell"


def program() -> Path:
    """The browser, downloaded when it is missing."""
    folder = cache() / "chromium"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "root").exists():
            _fetch(folder)
    return folder / "root/usr/lib/chromium" / _PACKAGE


def libraries() -> str:
    """What LD_LIBRARY_PATH has to be for it."""
    root = cache() / "chromium/root/usr/lib"
    return ":".join(sorted({str(path.parent) for path in root.glob("*-linux-*/**/*.so*")}))


def _fetch(folder: Path) -> None:
    debs, fresh = folder / "debs", folder / "new"
    for path in (debs, fresh):
        shutil.rmtree(path, ignore_errors=True)
    (debs / "partial").mkdir(parents=True)
    subprocess.run(
        [
            *(*apt("apt-get"), "-o", f"Dir::Cache::archives={debs}", "--no-install-recommends"),
            *("--download-only", "-y", "install", _PACKAGE),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for deb in debs.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(deb), str(fresh)], check=True)
    shutil.rmtree(debs)
    fresh.rename(folder / "root")


if __name__ == "__main__":
    print(program())
