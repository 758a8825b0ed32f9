"""A driver's client that is opened anew when a rotation changes how it logs in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from mngdb.client.settings import Settings


class Closes(Protocol):
    """What drivers' clients have."""

    def close(self) -> None:
        """End its connections."""
        ...


C = TypeVar("C", bound=Closes)
R = TypeVar("R")


class _Open(Generic[C]):
    """A client, what it was opened with, and how many use it."""

    def __init__(self, client: C, value: str) -> None:
        self.client = client
        self.value = value
        self.users = 0


class Connection(Generic[C]):
    """The client for a connection string of the settings. Once that is another one, the next use
    opens another client, and the old one is closed when nobody uses it any more: the rotation can
    then withdraw the old password. May be used by several threads.

        mongo = Connection(settings, "MONGO_URI", pymongo.MongoClient, refused)
        mongo.run(lambda client: client.get_default_database().rooms.find_one())
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        opening: Callable[[str], C],
        refused: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        """`opening` makes a client of the setting `name`; `refused` tells whether an error is a
        refused login: the settings are then read anew and the work is done again, once, if they
        have changed."""
        self._settings = settings
        self._name = name
        self._opening = opening
        self._refused = refused
        self._guard = threading.Lock()
        self._now: _Open[C] | None = None

    def run(self, work: Callable[[C], R]) -> R:
        """Do something with the client. Raises what that raises."""
        try:
            return self._once(work)
        except Exception as error:
            if not self._refused(error) or not self._settings.refresh():
                raise
        return self._once(work)

    def close(self) -> None:
        """Close the client; the next use opens another one."""
        with self._guard:
            old, self._now = self._now, None
        if old is not None:
            old.client.close()

    def _once(self, work: Callable[[C], R]) -> R:
        used = self._taken()
        try:
            return work(used.client)
        finally:
            with self._guard:
                used.users -= 1
                over = used is not self._now and used.users == 0
            if over:
                used.client.close()

    def _taken(self) -> _Open[C]:
        value, idle = self._settings[self._name], None
        with self._guard:
            now = self._now
            if now is None or now.value != value:
                idle = now if now is not None and now.users == 0 else None
                now = self._now = _Open(self._opening(value), value)
            now.users += 1
        if idle is not None:
            idle.client.close()
        return now
