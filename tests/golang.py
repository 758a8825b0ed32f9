"""Programs that are had as Go modules only: built once, from a version, into our cache.

`python -m tests.golang` builds those of MODULES, as any user. Go is the machine's own, or that of
Debian trixie, unpacked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests import trixie
from tests.debian import cache


class Module(NamedTuple):
    """A module, its version, and the Go that it wants; a machine whose Go is older fetches that
    one as a module, too. `sums` are its lines of a go.sum, where the database of sums does not have
    them."""

    name: str
    version: str
    go: str
    sums: str = ""


MODULES = {
    "mongodb_exporter": Module("github.com/percona/mongodb_exporter", "v0.43.1", "1.23"),
    "oauth2-proxy": Module("github.com/oauth2-proxy/oauth2-proxy/v7", "v7.15.3", "1.26.0"),
}
_NAME, _VERSION = "github.com/mongodb/mongo-tools", "v0.0.0-20240724183527-6d4f001be3fc"
#: MongoDB's tools have no versions as modules have them; the sums are those of others who use them.
_MONGO_TOOLS = Module(
    _NAME,
    _VERSION,
    "1.23",
    f"{_NAME} {_VERSION} h1:BOTtfrCNuPnXgnEDvmXYiP0K8WF5JzDh3dQwZ9QThF0=\n"
    f"{_NAME} {_VERSION}/go.mod h1:mq5q2Rrbw6+VEtDc+p5haujgWoQv3foL2YS5YISr2UA=\n",
)
_GO = ("golang-1.24-go", "golang-1.24-src")
#: A module of our own that needs the program's: `go install` would ask for all versions there are.
_MODULE = """\
module mngdb.test

go {go}

require {module} {version}
"""


def program(name: str) -> Path:
    """The path of a program of MODULES, built when it is missing."""
    return built(name, MODULES[name])


def mongo_tool(name: str) -> Path:
    """The path of one of MongoDB's tools, as `mongorestore`, built when it is missing."""
    return built(name, _MONGO_TOOLS, f"{name}/main")


def built(name: str, module: Module, package: str = "") -> Path:
    """The path of a program of a module, or of its package of this path, built when it is
    missing."""
    found = cache() / "go" / f"{name}-{module.version}"
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        with (found.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not found.exists():
                _build(module, f"{module.name}/{package}".rstrip("/"), found)
    return found


def _build(module: Module, package: str, found: Path) -> None:
    work = found.with_name(f".{found.name}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    text = _MODULE.format(go=module.go, module=module.name, version=module.version)
    (work / "go.mod").write_text(text)
    (work / "go.sum").write_text(module.sums)
    done = subprocess.run(
        [go(), "build", "-mod=mod", "-o", str(work / "program"), package],
        cwd=work,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "auto"},
        check=False,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    (work / "program").rename(found)
    shutil.rmtree(work)


def go() -> str:
    """The machine's Go, or Debian's."""
    own = shutil.which("go")
    if own is not None:
        return own
    folder = cache() / "go" / "debian"
    if not folder.exists():
        work = folder.with_name(".debian")
        shutil.rmtree(work, ignore_errors=True)
        for package in _GO:
            shutil.copytree(trixie.unpacked(package), work, symlinks=True, dirs_exist_ok=True)
        work.rename(folder)
    return str(folder / "usr/lib/go-1.24/bin/go")


if __name__ == "__main__":
    for one in MODULES:
        print(program(one))
