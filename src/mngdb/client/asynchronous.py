"""The same as `Connection`, for programs of asyncio."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from mngdb.client.opened import C, Open, Opened, close, never
from mngdb.client.settings import Settings

if TYPE_CHECKING:
    from asyncio import Lock

# asyncio is imported where it is used: it takes longer than all the rest of this package

R = TypeVar("R")


class AsyncConnection(Opened[C]):
    """As `Connection`, for tasks of one event loop at a time.

    mongo = AsyncConnection(settings, "MONGO_URI", pymongo.AsyncMongoClient, refused)
    await mongo.run(lambda client: client.get_default_database().rooms.find_one())
    """

    @overload
    def __init__(
        self,
        settings: Settings,
        name: str,
        opening: Callable[[str], Awaitable[C]],
        refused: Callable[[Exception], bool] = ...,
        closing: Callable[[C], object] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        settings: Settings,
        name: str,
        opening: Callable[[str], C],
        refused: Callable[[Exception], bool] = ...,
        closing: Callable[[C], object] = ...,
    ) -> None: ...
    def __init__(
        self,
        settings: Settings,
        name: str,
        opening: Callable[[str], Any],
        refused: Callable[[Exception], bool] = never,
        closing: Callable[[C], object] = close,
    ) -> None:
        """As of `Connection`; what `opening` and `closing` return is awaited where it can be."""
        super().__init__(settings, name, refused, closing)
        self._opening = opening
        self._locked: tuple[object, Lock] | None = None

    async def run(self, work: Callable[[C], Awaitable[R]]) -> R:
        """Do something with the client, and be done with it. Raises what that raises."""
        from asyncio import to_thread

        used = await self._taken()
        try:
            return await self._once(used, work)
        except Exception as error:
            if not self._refused(error):
                raise
            await to_thread(self._settings.refresh)
            if not self._other(used):
                raise
        return await self._once(await self._taken(), work)

    async def close(self) -> None:
        """Close the client; the next use opens another one."""
        old, self._now = self._now, None
        if old is not None and old.place == _here():
            await _awaited(self._closing(old.client))

    async def _once(self, used: Open[C], work: Callable[[C], Awaitable[R]]) -> R:
        try:
            return await work(used.client)
        finally:
            if self._release(used):
                await _awaited(self._closing(used.client))

    async def _taken(self) -> Open[C]:
        here, value, idle = _here(), await self._value(), None
        async with self._guard(here):
            used = self._current(value, here)
            if used is None:
                value = await self._value()  # we may have waited for who opened it
                used = self._current(value, here)
            if used is None:
                used, idle = self._replace(await _awaited(self._opening(value)), value, here)
            used.users += 1
        if idle is not None:
            await _awaited(self._closing(idle.client))
        return used

    async def _value(self) -> str:
        """The setting. Whatever takes long to be read is read beside the loop. A file is read in
        it: of tasks that ask while a thread reads, all but one would get the value of before."""
        from asyncio import to_thread

        if self._settings.slow():
            await to_thread(self._settings.get, self._name)
        return self._settings[self._name]

    def _guard(self, here: object) -> Lock:
        from asyncio import Lock

        if self._locked is None or self._locked[0] != here:
            self._locked = here, Lock()
        return self._locked[1]


def _here() -> object:
    """This process and its event loop: a client is of no use in another one."""
    from asyncio import get_running_loop

    return os.getpid(), get_running_loop()


async def _awaited(result: Any) -> Any:
    return await result if hasattr(type(result), "__await__") else result
