"""A place for the units of a stack, as the verbs see it: this machine, a Docker engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mngdb.model import Asked, Remark, ShellCommand, Site, Step, Unit
from mngdb.release import Release
from mngdb.spec.base import EngineName
from mngdb.spec.stack import Instance

if TYPE_CHECKING:
    from mngdb.facts.doctor import Condition, Service

#: `absent`: never made; `stopped`: its data is there; `missing`: its data was there; `running`.
State = Literal["absent", "stopped", "missing", "running"]
#: What `--allow` names to go on in a place that was replaced since the last command.
ALLOW_ENGINE = "engine"


@dataclass(frozen=True)
class Note:
    """A unit that was made: also one that the file no longer names."""

    unit: str
    instance: str
    engine: EngineName


class Running(Protocol):
    """A unit that runs."""

    def memory(self) -> int | None:
        """Bytes that it has; None where it cannot be known."""
        ...

    def uptime(self) -> float:
        """Seconds since it started."""
        ...

    @property
    def verdict(self) -> str:
        """What somebody else who looks after it thinks (Docker): starting, healthy, unhealthy;
        empty: nobody does."""
        ...

    @property
    def said(self) -> str:
        """The last words of that look."""
        ...


class Host(Protocol):
    """A place for the units of a stack: this machine, a Docker engine."""

    def site(self, instance: Instance, *, find: bool = True) -> Site:
        """The instance's place. Without `find` it is good for logging in, not for rendering.
        Raises UsageError."""
        ...

    def fit(self, unit: Unit, asked: Asked) -> Unit:
        """The unit as it runs here. Pure."""
        ...

    def expect(self, asked: Mapping[str, Asked]) -> None:
        """Take note of all that shall live here. Pure."""
        ...

    def free(self, allow: frozenset[str]) -> None:
        """Raise MngdbError where this is not the place from before, or where a name, of those that
        `expect` took note of, is somebody else's already. `allow` are units whose data is taken
        over."""
        ...

    def begin(self) -> None:
        """Make the folders that units share."""
        ...

    def repairs(self, asked: Mapping[str, Asked]) -> list[Step]:
        """What mends the files that units share, before `publish`. Raises MngdbError where that
        cannot be done."""
        ...

    def publish(self, asked: Mapping[str, Asked]) -> None:
        """Write what describes all that live here, before any of them is changed."""
        ...

    def reach(self, instance: Instance) -> AbstractContextManager[None]:
        """Hold the way to the server open that `Site.tunnel` names."""
        ...

    def state(self, unit: str) -> State:
        """What there is of a unit."""
        ...

    def process(self, unit: str) -> Running | None:
        """The unit, if it runs."""
        ...

    def condition(self, instance: Instance) -> Condition:
        """A unit, before anybody asks its server. Raises MngdbError."""
        ...

    def answered(self, unit: str) -> bool:
        """Whether a running server is known to have answered since it was started."""
        ...

    def listens(self, unit: str) -> bool:
        """Whether a running server takes connections anywhere."""
        ...

    def told(self, unit: str) -> list[str]:
        """The last lines that a server has logged since it was started."""
        ...

    def preflight(self, unit: Unit, instance: Instance) -> None:
        """What would keep a unit from starting, itself apart. Raises MngdbError."""
        ...

    def fits(self, unit: Unit, instance: Instance, running: Release | None = None) -> None:
        """Whether the server can read the data that is there; `running` is on it now. Raises
        MngdbError."""
        ...

    def saw(self, unit: Unit, running: Release) -> None:
        """Note which server was on the unit's data, for `fits` when it does not run."""
        ...

    def verify(self, unit: Unit) -> None:
        """Whether the server would take files that it does not have yet. Raises UsageError."""
        ...

    def stale_files(self, unit: Unit) -> list[str]:
        """The unit's files that the server is not known to have read as they should be."""
        ...

    def renewal(self, unit: Unit, instance: Instance, running: Release | None = None) -> list[str]:
        """Why a running unit has to start anew, its files apart; empty: it has not. `running` is
        what its server says that it is."""
        ...

    def handover(self, unit: Unit) -> str:
        """From which account to which other the unit's files go when it starts; empty: they stay
        whose they are."""
        ...

    def write(self, unit: Unit, asked: Asked) -> None:
        """Write the unit's files where they differ."""
        ...

    def missing(self, unit: str) -> str:
        """What is missing of the data that was there, for people; empty: nothing is."""
        ...

    def forget(self, unit: str) -> None:
        """Data that is missing is not waited for any longer."""
        ...

    def seen(self, unit: Unit) -> None:
        """Note that the unit runs, and what data it has."""
        ...

    def confirm(self, unit: Unit) -> None:
        """Note that the running server has read the files as they are now."""
        ...

    def prepare(self, unit: Unit) -> None:
        """Make the place of its data, whole or not at all."""
        ...

    def sync(self, unit: Unit) -> None:
        """Bring a new data folder to the disk; the server may run in it meanwhile."""
        ...

    def lacks(self, unit: Unit) -> str:
        """What has to be fetched before a start, which may take its time; empty: nothing."""
        ...

    def fetch(self, unit: Unit) -> None:
        """Fetch what a start needs and is not here. Raises StepError."""
        ...

    def start(self, unit: Unit) -> Any:
        """Start the server. It may not be ready yet; `check`, given the answer, looks after it."""
        ...

    def check(self, unit: Unit, child: Any) -> None:
        """Raise StepError with the server's last words if the one that we started has ended."""
        ...

    def stop(self, unit: str, with_signal: int) -> bool:
        """Stop a unit cleanly. False if it did not run. Raises StepError when it takes too long."""
        ...

    def kill(self, unit: str) -> None:
        """End a unit at once, with what it holds: for what is removed altogether."""
        ...

    def end(self) -> None:
        """Remove what is left when every unit is stopped; data stays."""
        ...

    def rescue(self, unit: Unit, asked: Asked) -> Callable[[], None] | None:
        """What gives a running server's administrator the vault's secret without the old one;
        None: nothing does."""
        ...

    def enter(self, unit: str, command: ShellCommand, *, terminal: bool) -> list[str] | None:
        """The command line of the interactive client in the unit's place; None: it runs here."""
        ...

    def services(self) -> list[Service]:
        """The parts that are no instances, as they are. Raises MngdbError."""
        ...

    def unproven(self) -> list[str]:
        """Parts that somebody else judges by looks of his own, and has not looked at yet."""
        ...

    def steps(self) -> list[Step]:
        """What brings the parts that are no instances as they should be."""
        ...

    def snapshot(self, unit: Unit) -> dict[str, str | None]:
        """The unit's files as they are, to go back to when the server refuses new ones."""
        ...

    def put_back(self, unit: Unit, files: dict[str, str | None]) -> None:
        """Write the files of a `snapshot` again."""
        ...

    def log_lines(self, unit: str, count: int) -> list[str]:
        """The last lines of a unit's log."""
        ...

    def follow(self, unit: str, count: int) -> Iterator[str]:
        """The last lines of a unit's log, then others as they come, without end."""
        ...

    def units(self) -> list[Note]:
        """Every unit that was ever made here and whose data is still here."""
        ...

    def place(self, unit: str) -> str:
        """Where a unit's data is, for people."""
        ...

    def remarks(self) -> list[Remark]:
        """What a person should know of a stack that was just made here."""
        ...

    def staying(self) -> list[Remark]:
        """What has a name of the stack's, or its secrets, and `remove` leaves."""
        ...

    def remove(self) -> None:
        """Remove everything of the stack that is here, the data included."""
        ...
