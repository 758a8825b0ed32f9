"""What is kept of a restored server, in its folder: one file, which this module alone knows."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from mngdb import disk

_FILE = "restored.json"


class Restored(Struct, frozen=True):
    """A server of restored data. `seconds` from the first byte read until each app was tried;
    `phases` are parts of it; `unable` are the apps that cannot work there, with the reason: one
    app's own settings keep nobody from the data of the others."""

    instance: str
    engine: str
    snapshot: str
    restored_to: float
    address: str
    url: str
    seconds: float
    phases: dict[str, float]
    unable: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    """How it differs from what it is of."""
    kept: bool = True
    """Whether there is what was in its place before."""
    before: str = ""
    """The snapshot of that, where who keeps the backups has it."""


class Note(Struct, frozen=True, kw_only=True):
    """What is in the folder of a restored server. `done`: what came of the restore; None: it has
    not ended. `version`: of the server that the data is of. `replaced`: its data was put in the
    place of the live one's, which is here since; `undone`: and back, with what was written to it
    meanwhile. `finished`: the live server was started since. `halted`: it was stopped for that, and
    nobody has seen it started."""

    instance: str
    unit: str
    snapshot: str
    host: str
    port: int
    version: str = ""
    done: Restored | None = None
    replaced: bool = False
    undone: bool = False
    finished: bool = False
    halted: bool = False
    keeper: str = ""
    """Who made the server beside the live one, at whose place it is; empty: we did, here."""

    @property
    def live(self) -> bool:
        """Whether its data was the live server's."""
        return self.replaced or self.undone

    @property
    def text(self) -> str:
        """What there is, for people."""
        if self.replaced:
            return f"the data that {self.instance} had before its restore"
        return f"the data that {self.instance} had before --undo" if self.undone else self.unit


def read(state: Path) -> Note | None:
    """That of a folder; None where nothing was begun there, or nobody can say."""
    try:
        return disk.read_note(state / _FILE, Note)
    except ValueError:
        return None


def needed(state: Path) -> Note:
    """That of a folder which has one."""
    found = read(state)
    if found is None:
        raise ValueError(f"{state} has no {_FILE}")
    return found


def write(state: Path, note: Note) -> None:
    """Keep it. Raises OSError."""
    disk.write(state / _FILE, msgspec.json.encode(note).decode() + "\n")


def written(state: Path) -> float:
    """When it was changed last, in seconds since the epoch. Raises OSError."""
    return (state / _FILE).stat().st_mtime


def every(folder: Path) -> list[tuple[Path, Note]]:
    """All that there are in the folders of a folder."""
    states = sorted(path.parent for path in folder.glob(f"*/{_FILE}"))
    return [(one, found) for one in states if (found := read(one)) is not None]
