"""Debian's redis-server: a build with TLS, and redis-cli. Fetched once, never installed.

`python -m tests.debian` fetches it, as any user: the lists of packages are kept in our own cache.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGES = ("redis-server", "redis-tools")
#: Programs find the libraries that come with them; servers get no environment of ours.
_WRAPPER = """\
#!/bin/sh
LD_LIBRARY_PATH={libraries} exec {program} "$@"
"""


def redis_folder() -> Path:
    """A folder with `redis-server` (7, with TLS) and `redis-cli`, downloaded when it is missing."""
    folder = cache() / "redis"
    with alone("redis"):
        if not (folder / "redis-server").exists():
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    for package in (*_PACKAGES, *_libraries()):
        if not list(root.glob(f"{package}_*.deb")):
            _run(*apt("apt-get"), "download", package, cwd=root)
    for deb in root.glob("*.deb"):
        _run("dpkg", "-x", str(deb), str(root))
    libraries = next(iter(root.glob("usr/lib/*/libjemalloc.so.*"))).parent
    for name in ("redis-cli", "redis-server"):  # the server last: with it all is there
        program = root / "usr/bin" / name
        wrapper = folder / f".{name}"
        wrapper.write_text(_WRAPPER.format(libraries=libraries, program=program))
        wrapper.chmod(0o755)
        wrapper.rename(folder / name)


def program(package: str) -> Path:
    """The program that a package of one program has, downloaded when it is missing."""
    return unpacked(package) / "usr/bin" / package


def unpacked(package: str, *libraries: str) -> Path:
    """The folder with a package's files and those of libraries that it needs, downloaded when it
    is missing."""
    folder = cache() / package
    with alone(package):
        if not folder.exists():
            work = folder.with_name(f".{package}")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            _run(*apt("apt-get"), "download", package, *libraries, cwd=work)
            for deb in work.glob("*.deb"):
                _run("dpkg", "-x", str(deb), str(work))
            work.rename(folder)
    return folder


def cache() -> Path:
    """Ours; for root a place where the servers' account may go too."""
    if os.geteuid() == 0:
        return Path("/var/cache/mngdb-tests")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mngdb-tests"


@contextmanager
def alone(name: str) -> Iterator[None]:
    """While it lasts, no other worker fetches the same."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _libraries() -> list[str]:
    """The libraries that the packages need, apart from those that every Debian has."""
    said = _run(*apt("apt-cache"), "depends", "--no-recommends", "--no-suggests", *_PACKAGES)
    names = {line.split()[-1] for line in said.splitlines() if "Depends: lib" in line}
    return sorted(name for name in names if name != "libc6")


def apt(program: str) -> list[str]:
    """apt with lists of its own: a fresh machine has none, and only root may fetch the system's."""
    folder = cache() / "apt"
    options = [
        *("-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"),
        *("-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1", "-qq"),
    ]
    with alone("apt"):
        if not list((folder / "lists").glob("*Packages*")):
            for name in ("lists/partial", "cache/archives/partial"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            _run("apt-get", *options, "update")
    return [program, *options]


def mirror() -> str:
    """Where this machine has its packages from; other releases are there too."""
    listing = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    found = sorted(line.rstrip("/") for line in listing.splitlines() if "security" not in line)
    if not found:
        raise RuntimeError("apt knows no source of packages: look at /etc/apt/sources.list.d")
    return found[0]


def _run(*argv: str, cwd: Path | None = None) -> str:
    return subprocess.run(argv, cwd=cwd, check=True, text=True, capture_output=True).stdout


if __name__ == "__main__":
    print(redis_folder())
