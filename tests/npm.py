"""Packages of npm for tests, in the cache, and a Node that runs them: the one that comes with
playwright's wheel. `python -m tests.npm` fetches them; needs npm.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.debian import cache

#: An OpenID provider whose paths can be Keycloak's.
_PACKAGES = ("oidc-provider@9.13.3",)


def node() -> Path:
    """Node."""
    import playwright

    return Path(playwright.__file__).parent / "driver/node"


def packages() -> Path:
    """The folder that has `node_modules`, made when it is missing."""
    digest = hashlib.sha256(" ".join(_PACKAGES).encode()).hexdigest()[:12]
    folder = cache() / f"npm-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            flags = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
            subprocess.run(["npm", "install", *flags, *_PACKAGES], cwd=fresh, check=True)
            fresh.rename(folder)
    return folder


if __name__ == "__main__":
    print(packages())
