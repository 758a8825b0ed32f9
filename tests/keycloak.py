"""Keycloak's own distribution from Maven's registry, made ready for PostgreSQL, in the cache.

`python -m tests.keycloak` fetches it; needs mvn and Java.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import zipfile
from pathlib import Path

from tests.debian import cache

VERSION = "26.4.7"
#: What is decided once, before the first start.
_BUILD = ("--db=postgres", "--health-enabled=true")


def there() -> bool:
    """Whether this machine can have it."""
    return all(shutil.which(tool) for tool in ("mvn", "java"))


def folder() -> Path:
    """The distribution, downloaded and built when it is missing."""
    found = cache() / f"keycloak-{VERSION}"
    found.parent.mkdir(parents=True, exist_ok=True)
    with (cache() / "keycloak.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            fresh = cache() / "keycloak.new"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            _fetch(fresh)
            (home,) = fresh.glob("keycloak-*/")
            subprocess.run(
                ["sh", "bin/kc.sh", "build", *_BUILD],
                cwd=home,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            home.rename(found)
            shutil.rmtree(fresh)
    return found


def _fetch(into: Path) -> None:
    artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
    goal = ("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={into}")
    subprocess.run(["mvn", "-q", "-B", *goal], cwd=into, check=True)
    (packed,) = into.glob("*.zip")
    with zipfile.ZipFile(packed) as files:
        files.extractall(into)


if __name__ == "__main__":
    print(folder())
