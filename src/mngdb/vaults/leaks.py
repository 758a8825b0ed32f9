"""Looks for the values of secrets where they should not be. Says names and places, no value."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from mngdb.literals import stand_in, usual
from mngdb.secret import Secret

_PROC = Path("/proc")
_CHUNK = 1 << 22
#: Shorter values are left out, like common words: `secrets.length` and `.placeholder` tell them.
_SHORTEST = 8


class Needles(Struct, frozen=True):
    """Secrets to look for, as they are and as URLs hold them."""

    names: Mapping[bytes, str]
    pattern: re.Pattern[bytes] | None
    left_out: tuple[str, ...] = ()
    """Secrets that are short or a common word: they stand in many a text by chance."""

    @classmethod
    def of(cls, secrets: Mapping[str, Secret]) -> Needles:
        names: dict[bytes, str] = {}
        left_out: list[str] = []
        for name, secret in secrets.items():
            value = secret.reveal()
            if len(value) < _SHORTEST or usual(value) or stand_in(value):
                left_out.append(name)
            else:
                names |= {value.encode(): name, quote(value, safe="").encode(): name}
        words = sorted(map(re.escape, names), key=len, reverse=True)
        return cls(names, re.compile(b"|".join(words)) if words else None, tuple(left_out))

    @property
    def longest(self) -> int:
        return max(map(len, self.names), default=0)

    def find(self, content: bytes) -> set[str]:
        """The names of the secrets that stand in it."""
        if self.pattern is None:
            return set()
        return {self.names[match[0]] for match in self.pattern.finditer(content)}


def in_files(needles: Needles, files: Iterable[Path]) -> tuple[str, ...]:
    """`NAME in FILE`. Files that are gone or are none are left out. Raises OSError."""
    found: list[str] = []
    for path in files:
        try:
            found += (f"{name} in {path}" for name in sorted(_in_file(needles, path)))
        except (FileNotFoundError, IsADirectoryError):
            continue
    return tuple(found)


def _in_file(needles: Needles, path: Path) -> set[str]:
    found: set[str] = set()
    if not path.is_file():
        return found  # a pipe would stop us for ever
    rest = b""
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            found |= needles.find(rest + chunk)
            rest = chunk[-needles.longest :]
    return found


class Running(Struct, frozen=True):
    """What processes show to whoever may look."""

    arguments: tuple[str, ...]
    environments: tuple[str, ...]
    looked: int


def in_processes(needles: Needles, given: Container[str] = (), proc: Path = _PROC) -> Running:
    """Secrets in the argument lists and environments of all processes that we may read. `given` are
    those that belong into an environment: whoever asks us, and what it was started by, may have
    any there."""
    arguments: list[str] = []
    environments: list[str] = []
    looked, asking = 0, set(_ancestors(os.getpid(), proc))
    for pid, command, environment in _processes(proc):
        looked += 1
        shown = set() if pid in asking else needles.find(environment)
        found = needles.find(command), {name for name in shown if name not in given}
        for names, places in zip(found, (arguments, environments), strict=True):
            places += (f"{name} in {_program(needles, command)} (pid {pid})" for name in names)
    return Running(tuple(arguments), tuple(environments), looked)


def _ancestors(pid: int, proc: Path) -> Iterator[int]:
    """A process and those that it was started by."""
    while pid > 1:
        yield pid
        try:
            pid = int(
                (proc / str(pid) / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[1]
            )
        except (OSError, ValueError, IndexError):
            return


def _program(needles: Needles, command: bytes) -> str:
    """The program's name, which it may have chosen itself."""
    path = command.split(b"\0", 1)[0]
    name = path.rsplit(b"/", 1)[-1].decode(errors="replace")
    return name[:40] if name.isprintable() and not needles.find(path) else "a program"


def _processes(proc: Path) -> Iterator[tuple[int, bytes, bytes]]:
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            environment = b""  # another account's: others cannot read it either
        if command:
            yield int(folder.name), command, environment
