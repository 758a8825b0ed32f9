"""Programs in other languages, with the client libraries that people use there.

`node/`, `java/`, `go/` and `python/` have lists of packages with their versions, and the programs
beside them. `python -m tests.clients.languages` fetches the packages into the tests' cache, by npm,
Maven, Go and pip; Ruby's are Debian's. The programs themselves need no registry.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests import golang, npm
from tests.debian import alone, cache

HERE = Path(__file__).parent
_NODE, _JAVA, _GO, _RUBY = (HERE / name for name in ("node", "java", "go", "ruby"))
_PYTHON = HERE / "python"
#: The lists of pip's packages that CI needs.
_OFTEN = ("drivers", "presets")
_NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
_MVN = ("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib")
_GEMS = (
    "ruby",
    "ruby-sidekiq",
    "ruby-redis-namespace",
    "ruby-actioncable",
    "ruby-activerecord",
    "ruby-pg",
)


def node(script: str, env: Mapping[str, str], *arguments: str) -> str:
    """Run node/SCRIPT.mjs with this environment; returns what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "node_modules").symlink_to(node_modules())
        for source in (*_NODE.glob("*.mjs"), _NODE / "package.json"):
            shutil.copy(source, work)
        return run(str(npm.node()), f"{script}.mjs", *arguments, env=env, folder=work)


def java(source: str, env: Mapping[str, str], *arguments: str) -> str:
    """Run the one class of java/SOURCE.java with this environment; returns what it prints."""
    argv = ("java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*", str(_JAVA / f"{source}.java"))
    return run(*argv, *arguments, env=env)


def go(program: str, env: Mapping[str, str], *arguments: str) -> str:
    """Run the package go/PROGRAM with this environment; returns what it prints."""
    return run(str(go_program(program)), *arguments, env=env)


def ruby(script: str, env: Mapping[str, str], *arguments: str) -> str:
    """Run ruby/SCRIPT.rb with this environment; returns what it prints."""
    return run(gems(), str(_RUBY / f"{script}.rb"), *arguments, env=env)


def python(script: str, env: Mapping[str, str], *arguments: str, packages: str) -> str:
    """Run python/SCRIPT.py with the packages of python/PACKAGES.txt, not with those of our own
    environment: some want older ones. Returns what it prints."""
    argv = (str(python_environment(packages)), "-P", str(_PYTHON / f"{script}.py"))
    return run(*argv, *arguments, env=env)


def run(*argv: str, env: Mapping[str, str], folder: Path | None = None) -> str:
    """Run a program that has to succeed within five minutes, in a home of its own, with this
    environment alone; returns what it prints."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            argv,
            cwd=folder or home,
            env={"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", **env},
            text=True,
            capture_output=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def node_modules() -> Path:
    """npm's packages, fetched when they are missing."""
    lists = [_NODE / "package.json", _NODE / "package-lock.json"]
    return _made("node", lists, lambda work: _quietly(*_NPM, cwd=work)) / "node_modules"


def jars() -> Path:
    """Maven's packages, fetched when they are missing."""
    return _made("java", [_JAVA / "pom.xml"], lambda work: _quietly(*_MVN, cwd=work)) / "lib"


def go_program(name: str) -> Path:
    """A Go program, built when it is missing: minutes, the first time."""

    def build(work: Path) -> None:
        for source in sources[2:]:
            (work / source.parent.name).mkdir()
            shutil.move(work / source.name, work / source.parent.name)
        env = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOFLAGS": "-buildvcs=false",
            "GOTOOLCHAIN": "auto",
        }
        _quietly(golang.go(), "build", "-o", "program", f"./{name}", cwd=work, env=env)

    parts = ("go.mod", "go.sum", "frame/frame.go", f"{name}/main.go")
    sources = [_GO / part for part in parts]
    return _made(f"go-{name}", sources, build) / "program"


def gems() -> str:
    """Ruby, with Debian's Sidekiq and parts of Rails; installed when it is missing, by root."""
    if not Path(f"/usr/share/doc/{_GEMS[-1]}").exists():
        with alone("ruby"):
            flags = ("-qq", "install", "-y", "--no-install-recommends")
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            _quietly("apt-get", "-qq", "update", env=env)
            _quietly("apt-get", *flags, *_GEMS, env=env)
    return "/usr/bin/ruby"


def python_environment(packages: str) -> Path:
    """The interpreter of a virtual environment with these packages, made when it is missing."""

    def make(work: Path) -> None:
        _quietly(sys.executable, "-m", "venv", str(work / "venv"))
        pip = (str(work / "venv/bin/python"), "-m", "pip", "install", "-q")
        _quietly(*pip, "-r", f"{packages}.txt", cwd=work)

    # moved afterwards: its interpreter may be, its other programs may not
    made = _made(f"python-{packages}", [_PYTHON / f"{packages}.txt"], make)
    return made / "venv/bin/python"


def python_version(distribution: str, packages: str) -> str:
    """The version of one of pip's packages."""
    text = (_PYTHON / f"{packages}.txt").read_text()
    found = re.search(rf"^{re.escape(distribution)}(?:\[\w+\])?==(\S+)", text, re.M | re.I)
    assert found, distribution
    return found[1]


def node_version(package: str) -> str:
    """The version of one of npm's packages."""
    text = (node_modules() / package / "package.json").read_text(encoding="utf-8")
    return str(json.loads(text)["version"])


def java_version(artifact: str) -> str:
    """The version of one of Maven's packages."""
    (jar,) = jars().glob(f"{artifact}-[0-9]*.jar")
    return jar.stem.removeprefix(f"{artifact}-")


def go_version(module: str) -> str:
    """The version of one of Go's modules."""
    found = re.search(rf"^\s*{re.escape(module)} v(\S+)", (_GO / "go.mod").read_text(), re.M)
    assert found, module
    return found[1]


def debian_version(package: str) -> str:
    """The version of one of Debian's packages, without Debian's own part of it."""
    gems()
    argv = ("dpkg-query", "-W", "-f", "${source:Upstream-Version}", package)
    said = subprocess.run(argv, check=True, text=True, capture_output=True).stdout
    return said.partition("+")[0]


def _made(name: str, sources: list[Path], make: Callable[[Path], object]) -> Path:
    """A folder in the cache for these sources, made once: `make` gets their copies."""
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = cache() / "clients" / f"{name}-{digest}"
    with alone(f"clients-{name}"):
        if not folder.exists():
            work = folder.with_name(f".{name}")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            for path in sources:
                shutil.copy(path, work)
            make(work)
            work.rename(folder)
    return folder


def _quietly(*argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(argv, cwd=cwd, env=env, check=False, text=True, capture_output=True)
    assert done.returncode == 0, f"{argv[:2]}: {done.stdout}{done.stderr}"


if __name__ == "__main__":
    for listed in sorted(_PYTHON.glob("*.txt")):
        if "python" not in sys.argv or listed.stem in _OFTEN:
            print(python_environment(listed.stem))
    if "python" in sys.argv:
        sys.exit()
    print(node_modules(), jars(), sep="\n")
    if os.geteuid() == 0:
        print(gems())
    for source in sorted(_GO.glob("*/main.go")):
        print(go_program(source.parent.name))
