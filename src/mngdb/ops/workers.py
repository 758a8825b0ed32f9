"""Every instance's work in a thread of its own: servers are waited for side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from msgspec import Struct

from mngdb import stopping
from mngdb.errors import MngdbError, of_system
from mngdb.spec.stack import Instance, Stack

N = TypeVar("N")
T = TypeVar("T")
Emit = Callable[[object], None]
Job = Callable[[Instance, Emit], T]

#: Instances worked on at the same time.
_THREADS = 32
#: Seconds that threads have to stop and clean up, on a busy machine too; one that hangs then ends
#: with the process, and so does all at a second Ctrl-C.
_GRACE = 5.0


class Result(Struct, Generic[T], frozen=True):
    """What became of one instance: a value, or the error that ended its job."""

    instance: str
    value: T | None = None
    error: MngdbError | None = None

    def get(self) -> T:
        """The value. Raises the job's error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class _Bug(Struct, frozen=True):
    """What ended a job and is no MngdbError."""

    error: BaseException


def apart(results: Mapping[str, Result[T]]) -> tuple[dict[str, T], dict[str, MngdbError]]:
    """The values and the errors, each by instance."""
    found = {name: result.get() for name, result in results.items() if result.error is None}
    errors = {name: r.error for name, r in results.items() if r.error is not None}
    return found, errors


def each(
    stack: Stack,
    job: Job[T],
    on_event: Callable[[object], None],
    only: Collection[str] | None = None,
) -> dict[str, Result[T]]:
    """Run `job` for every instance of the stack (or for `only` some), all at once. `on_event` gets,
    in this thread and in order, whatever the jobs emit. Errors other than MngdbError are raised
    here, and Ctrl-C is; either way no job begins anything new."""
    chosen = [one for one in stack.instances.values() if only is None or one.name in only]
    return together({one.name: one for one in chosen}, job, on_event)


def together(
    chosen: Mapping[str, N], job: Callable[[N, Emit], T], on_event: Callable[[object], None]
) -> dict[str, Result[T]]:
    """As `each`, for other things than instances, by their names."""
    todo = iter(chosen.items())  # of all threads: each takes the next one
    said: SimpleQueue[object] = SimpleQueue()

    def work() -> None:
        try:
            for name, one in todo:
                said.put(_result(name, partial(job, one, said.put)))
        except BaseException as error:  # noqa: BLE001 - raised below
            said.put(_Bug(error))

    threads = [Thread(target=work, daemon=True) for _ in range(min(_THREADS, len(chosen)))]
    found: dict[str, Result[T]] = {}
    try:
        for thread in threads:
            thread.start()
        while len(found) < len(chosen):
            message = said.get()
            if isinstance(message, Result):
                found[message.instance] = message
            elif isinstance(message, _Bug):
                raise message.error  # noqa: TRY301 - told where people see it
            else:
                on_event(message)
    except BaseException:
        _end(threads)
        while not said.empty():  # how they ended
            message = said.get()
            if not isinstance(message, Result | _Bug):
                on_event(message)
        raise
    return {name: found[name] for name in chosen}


def _result(name: str, job: Callable[[], T]) -> Result[T]:
    try:
        return Result(name, job())
    except MngdbError as error:
        return Result(name, error=error)
    except OSError as error:
        return Result(name, error=of_system(error))


def _end(threads: Iterable[Thread]) -> None:
    stopping.stop()
    deadline = time.monotonic() + _GRACE
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
