"""What runs units for a target: processes of this machine, containers of a Docker engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from mngdb.model import DesiredInstance, Site, Unit
from mngdb.release import Release
from mngdb.spec.stack import Instance
from mngdb.targets.protocol import Servers

if TYPE_CHECKING:
    from mngdb.facts.doctor import Condition


class Runner(Servers, Protocol):
    """Runs units. One at work knows their files, too."""

    def site(self, instance: Instance, *, find: bool = True) -> Site:
        """The instance's place. Without `find` it is good for logging in, not for rendering.
        Raises UsageError."""
        ...

    def adapt(self, unit: Unit, asked: DesiredInstance) -> Unit:
        """The unit as it runs here. Pure."""
        ...

    def reach(self, instance: Instance) -> AbstractContextManager[None]:
        """Hold the way to the server open that `Site.tunnel` names."""
        ...

    def frozen(self, unit: str) -> str:
        """What wakes a server that was halted, where that is seen at no cost. Empty: it was not, or
        `condition` alone can tell."""
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

    def listeners(self, unit: str) -> Sequence[tuple[str, int]]:
        """The addresses and ports of a running server, where they lead us to it; none: unknown."""
        ...

    def told(self, unit: str) -> list[str]:
        """The last lines that a server has logged since it was started."""
        ...

    def titles(self, unit: str) -> list[str]:
        """What the processes of a running server call themselves; none: unknown."""
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

    def write(self, unit: Unit, asked: DesiredInstance) -> None:
        """Write the unit's files where they differ."""
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

    def missing_image(self, unit: Unit) -> str:
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

    def rescue(self, unit: Unit, asked: DesiredInstance) -> Callable[[], None] | None:
        """What gives a running server's administrator the vault's secret without the old one;
        None: nothing does."""
        ...

    def saved_files(self, unit: Unit) -> dict[str, str | None]:
        """The unit's files as they are, to go back to when the server refuses new ones."""
        ...

    def restore_files(self, unit: Unit, files: dict[str, str | None]) -> None:
        """Write the files of `saved_files` again."""
        ...
