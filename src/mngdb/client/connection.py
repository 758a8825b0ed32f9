"""A driver's client that is opened anew when a rotation changes how it logs in."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from mngdb.client.forks import ForkLock
from mngdb.client.opened import C, Open, Opened, close, never
from mngdb.client.settings import Settings

R = TypeVar("R")


class Connection(Opened[C]):
    """The client for a connection string of the settings. Once that is another one, the next use
    opens another client, and the old one is closed when nobody uses it any more: the rotation can
    then withdraw the old password. May be used by several threads, also across a fork: the child
    opens its own.

        mongo = Connection(settings, "MONGO_URI", pymongo.MongoClient, refused)
        mongo.run(lambda client: client.get_default_database().rooms.find_one())
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        opening: Callable[[str], C],
        refused: Callable[[Exception], bool] = never,
        closing: Callable[[C], object] = close,
    ) -> None:
        """`opening` makes a client of the setting `name`; `refused` tells whether an error is a
        refused login: the settings are then read anew and the work is done again, once, if this
        one has changed. `closing` ends a client; default: its `close()`."""
        super().__init__(settings, name, refused, closing)
        self._opening = opening
        self._guard = ForkLock()

    def run(self, work: Callable[[C], R]) -> R:
        """Do something with the client, and be done with it: what is still read from a cursor
        afterwards may find it closed. Raises what that raises."""
        used = self._taken()
        try:
            return self._once(used, work)
        except Exception as error:
            if not self._refused(error):
                raise
            self._settings.refresh()
            if not self._other(used):
                raise
        return self._once(self._taken(), work)

    def close(self) -> None:
        """Close the client; the next use opens another one."""
        with self._guard():
            old, self._now = self._now, None
        if old is not None and old.place == os.getpid():
            self._closing(old.client)

    def _once(self, used: Open[C], work: Callable[[C], R]) -> R:
        try:
            return _done(work(used.client))
        finally:
            with self._guard():
                over = self._release(used)
            if over:
                self._closing(used.client)

    def _taken(self) -> Open[C]:
        here, value, idle = os.getpid(), self._settings[self._name], None
        with self._guard():
            used = self._current(value, here)
            if used is None:
                value = self._settings[self._name]  # we may have waited for who opened it
                used = self._current(value, here)
            if used is None:
                used, idle = self._replace(self._opening(value), value, here)
            used.users += 1
        if idle is not None:
            self._closing(idle.client)
        return used


def _done(result: R) -> R:
    """What the work returned. Raises TypeError where it has yet to be awaited."""
    if hasattr(type(result), "__await__"):
        getattr(result, "close", int)()  # of a coroutine: it is not warned of as well
        raise TypeError("the work has to be awaited: use AsyncConnection")
    return result
