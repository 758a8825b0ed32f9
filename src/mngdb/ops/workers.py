"""One process for each engine, one thread for each of its instances.

Importing the three drivers takes longer than most commands' own work; processes do it side by
side. They are forked, so nothing secret crosses a pipe or an argument list, and they die with us.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import selectors
import signal
import struct
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from msgspec import Struct

from mngdb.errors import MngdbError, of_system
from mngdb.spec.stack import Instance, Stack

T = TypeVar("T")
Emit = Callable[[object], None]
Job = Callable[[Instance, Emit], T]

#: Servers asked at the same time by one engine's process.
_THREADS = 32
_HEADER = struct.Struct("!I")
_PR_SET_PDEATHSIG = 1


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
    here and in order, whatever the jobs emit. Errors other than MngdbError are raised here."""
    names = [name for name in stack.instances if only is None or name in only]
    every = ([one for one in group if one.name in names] for group in stack.by_engine.values())
    groups = [group for group in every if group]
    if len(groups) == 1:
        found = _group(groups[0], job, on_event)
    else:
        found = _processes(groups, job, on_event)
    return {name: found[name] for name in names}


def _group(instances: Sequence[Instance], job: Job[T], emit: Emit) -> dict[str, Result[T]]:
    def one(instance: Instance) -> Result[T]:
        try:
            return Result(instance.name, job(instance, emit))
        except MngdbError as error:
            return Result(instance.name, error=error)
        except OSError as error:
            return Result(instance.name, error=of_system(error))

    if len(instances) == 1:
        return {instances[0].name: one(instances[0])}
    pool = ThreadPoolExecutor(min(_THREADS, len(instances)))
    try:
        found = {result.instance: result for result in pool.map(one, instances)}
    except BaseException:
        # interrupted: a server that recovers would be waited for in its thread without end
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return found


def _processes(
    groups: Iterable[Sequence[Instance]], job: Job[T], on_event: Callable[[object], None]
) -> dict[str, Result[T]]:
    sys.stdout.flush()
    sys.stderr.flush()
    found: dict[str, Result[T]] = {}
    pids: dict[int, str] = {}
    # a Ctrl-C within a fork would be told with a traceback, by whoever it caught there
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with selectors.DefaultSelector() as selector:
        try:
            for group in groups:
                reader, writer = os.pipe()
                parent = os.getpid()
                pid = os.fork()
                if pid == 0:
                    os.close(reader)
                    _child(parent, writer, group, job)
                os.close(writer)
                pids[pid] = group[0].engine
                selector.register(reader, selectors.EVENT_READ, (pid, bytearray()))
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            while selector.get_map():
                for key, _ in selector.select():
                    pid, buffer = key.data
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        selector.unregister(key.fd)
                        os.close(key.fd)
                        _reap(pid, pids.pop(pid))
                        continue
                    buffer += chunk
                    for message in _messages(buffer):
                        if isinstance(message, dict):
                            found |= message
                        elif isinstance(message, BaseException):
                            raise message  # noqa: TRY301 - a bug, told where people see it
                        else:
                            on_event(message)
        except BaseException:
            _end(pids)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return found


def _end(pids: Mapping[int, str]) -> None:
    """Ask the workers to stop where they are and wait for them."""
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    for pid in pids:
        os.waitpid(pid, 0)


def _reap(pid: int, engine: str) -> None:
    _, status = os.waitpid(pid, 0)
    if status != 0:
        code = os.waitstatus_to_exitcode(status)
        raise MngdbError(
            f"the worker of {engine} ended with {code} before it was done",
            "what it had done stays; run the same command again",
        )


def _child(parent: int, writer: int, group: Sequence[Instance], job: Job[Any]) -> None:
    """Never returns: the parent's stack is not ours to unwind."""
    code = 1
    # what the parent made stays: going through it for garbage takes 20 ms, and copies its memory
    gc.freeze()
    try:
        die_with(parent)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        guard = threading.Lock()

        def emit(message: object) -> None:
            data = pickle.dumps(message)
            with guard:
                _write(writer, _HEADER.pack(len(data)) + data)

        try:
            emit(_group(group, job, emit))
            code = 0
        except KeyboardInterrupt:
            code = 0  # the parent was interrupted too and says so
        except BaseException as error:  # noqa: BLE001 - told to the parent, which raises it
            error.add_note(f"in the worker of {group[0].engine}")
            emit(_picklable(error))
            code = 0
    finally:
        os._exit(code)


def _picklable(error: BaseException) -> BaseException:
    import traceback

    return RuntimeError("".join(traceback.format_exception(error)))


def _write(writer: int, data: bytes) -> None:
    while data:
        data = data[os.write(writer, data) :]


def _messages(buffer: bytearray) -> Iterable[Any]:
    while len(buffer) >= _HEADER.size:
        (size,) = _HEADER.unpack_from(buffer)
        end = _HEADER.size + size
        if len(buffer) < end:
            return
        # from our own child, over a pipe that nobody else holds
        message = pickle.loads(bytes(buffer[_HEADER.size : end]))  # noqa: S301
        del buffer[:end]
        yield message


def _interrupt(*_: object) -> None:
    # the terminal's and the parent's both arrive; one is enough to unwind by
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def die_with(parent: int) -> None:
    """A killed command leaves no worker behind that goes on changing things."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
