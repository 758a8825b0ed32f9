"""Programs from Debian trixie's packages, whatever Debian this is: unpacked, never installed.

`python -m tests.trixie` fetches those of PACKAGES, as any user. They are Go programs that need the
C library alone.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from tests.debian import cache, mirror

#: Program to the package that has it.
PACKAGES = {
    "promtool": "promtool",
    "prometheus": "prometheus",
    "amtool": "prometheus-alertmanager",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-redis-exporter": "prometheus-redis-exporter",
    "prometheus-postgres-exporter": "prometheus-postgres-exporter",
}
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def program(name: str) -> Path:
    """The path of a program of PACKAGES, downloaded when it is missing."""
    return unpacked(PACKAGES[name]) / "usr/bin" / name


def unpacked(package: str) -> Path:
    """The folder with a package's files, downloaded when it is missing."""
    folder = cache() / "trixie"
    if not (folder / package).exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / package).exists():
                _fetch(folder, package)
    return folder / package


def _fetch(folder: Path, package: str) -> None:
    options = _apt(folder)
    work = folder / f".{package}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    _run("apt-get", *options, "download", package, cwd=work)
    (deb,) = work.glob("*.deb")
    _run("dpkg", "-x", str(deb), str(work / "root"))
    (work / "root").rename(folder / package)
    shutil.rmtree(work)


def _apt(folder: Path) -> list[str]:
    """Options for apt with trixie's lists alone."""
    source = folder / "sources.list"
    options = [
        *("-o", f"Dir::Etc::sourcelist={source}", "-o", "Dir::Etc::sourceparts=/nonexistent"),
        *("-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"),
        *("-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1", "-qq"),
    ]
    if not list((folder / "lists").glob("*Packages*")):
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        source.write_text(f"deb [signed-by={_KEYS}] {mirror()} trixie main\n")
        _run("apt-get", *options, "update")
    return options


def _run(*argv: str, cwd: Path | None = None) -> None:
    subprocess.run(argv, cwd=cwd, check=True, text=True, capture_output=True)


if __name__ == "__main__":
    for one in PACKAGES:
        print(program(one))
