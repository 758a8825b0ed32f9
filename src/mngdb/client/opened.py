"""What connections of threads and of asyncio have in common: which client is the one to use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from mngdb.client.settings import Settings

C = TypeVar("C")


def close(client: Any) -> Any:
    """What ends most clients; of those that have both, `close` is the deprecated one."""
    # asked of the type: some make an attribute of any name, a database for one
    return client.aclose() if hasattr(type(client), "aclose") else client.close()


def never(_: Exception) -> bool:
    """No error is a refused login."""
    return False


class Open(Generic[C]):
    """A client, what it was opened with, where, and how many use it."""

    def __init__(self, client: C, value: str, place: object) -> None:
        self.client = client
        self.value = value
        self.place = place
        self.users = 0


class Opened(Generic[C]):
    """The client for a connection string of the settings, for one kind of program."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        refused: Callable[[Exception], bool],
        closing: Callable[[C], object],
    ) -> None:
        self._settings = settings
        self._name = name
        self._refused = refused
        self._closing = closing
        self._now: Open[C] | None = None

    def _current(self, value: str, place: object) -> Open[C] | None:
        """The client for this setting; None: it has to be opened. One of another place, the parent
        of a fork, is left alone: both would write to the same sockets."""
        now = self._now
        return now if now is not None and (now.value, now.place) == (value, place) else None

    def _replace(self, client: C, value: str, place: object) -> tuple[Open[C], Open[C] | None]:
        """Take a new client into use; returns it, and the one of before if that is to be closed."""
        if self._closing is close and not hasattr(client, "close"):
            kind = type(client).__name__
            raise TypeError(f"a {kind} has no close(): say what ends it, as closing={kind}.dispose")
        before, self._now = self._now, Open(client, value, place)
        idle = before is not None and before.users == 0 and before.place == place
        return self._now, before if idle else None

    def _release(self, used: Open[C]) -> bool:
        """One use less; returns whether the client is to be closed now."""
        used.users -= 1
        return used is not self._now and used.users == 0

    def _other(self, used: Open[C]) -> bool:
        """Whether the settings have another value than this client was opened with."""
        return self._settings[self._name] != used.value
