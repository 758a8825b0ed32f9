"""Jobs side by side: what they say comes in order, and none goes on when the command does not."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
import time
import traceback

import pytest

from mngdb import stopping
from mngdb.errors import MngdbError
from mngdb.ops import workers
from mngdb.run import run
from mngdb.spec.stack import Instance
from tests.unit.spec import stack

THREE = stack("postgres: {}\nredis: {}\nmongodb: {}\n")
MANY = stack(
    "instances:\n" + "".join(f"  r{n}: {{engine: redis, port: {7000 + n}}}\n" for n in range(100))
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that nobody has interrupted yet."""
    monkeypatch.setattr(stopping, "_asked", threading.Event())


def nothing(_: object) -> None:
    """Takes an event."""


def test_all_run_side_by_side_and_results_are_in_the_files_order() -> None:
    together = threading.Barrier(3, timeout=10)

    def job(instance: Instance, _: workers.Emit) -> str:
        together.wait()
        return instance.engine

    found = workers.each(THREE, job, nothing)
    assert {name: one.get() for name, one in found.items()} == {name: name for name in found}
    assert list(found) == list(THREE.instances)


def test_only_those_that_were_chosen_are_worked_on() -> None:
    assert list(workers.each(THREE, lambda one, _: one.name, nothing, {"redis"})) == ["redis"]


def test_more_instances_than_threads() -> None:
    found = workers.each(MANY, lambda one, _: one.name, nothing)
    assert [one.get() for one in found.values()] == list(MANY.instances)


def test_events_come_in_order_and_in_the_callers_thread() -> None:
    seen: list[tuple[str, int]] = []

    def job(instance: Instance, emit: workers.Emit) -> None:
        for number in range(50):
            emit((instance.name, number))

    def take(event: object) -> None:
        assert threading.current_thread() is threading.main_thread()
        assert isinstance(event, tuple)
        seen.append(event)

    workers.each(THREE, job, take)
    for name in THREE.instances:
        assert [number for one, number in seen if one == name] == list(range(50))


def test_what_the_system_refuses_and_what_we_say_are_results() -> None:
    def job(instance: Instance, _: workers.Emit) -> str:
        if instance.name == "redis":
            raise MngdbError("refused", "a hint")
        if instance.name == "mongodb":
            raise FileNotFoundError(2, "No such file or directory", "/nowhere")
        return "fine"

    found, errors = workers.apart(workers.each(THREE, job, nothing))
    assert found == {"postgres": "fine"}
    assert (errors["redis"].message, errors["redis"].hint) == ("refused", "a hint")
    assert "/nowhere" in errors["mongodb"].message


@pytest.mark.parametrize("kind", [ValueError, IndexError, StopIteration, SystemExit])
def test_a_bug_is_raised_with_its_traceback(kind: type[BaseException]) -> None:
    def the_culprit(instance: Instance, _: workers.Emit) -> None:
        if instance.name == "redis":
            raise kind("a bug")

    with pytest.raises(kind, match="a bug") as caught:
        workers.each(THREE, the_culprit, nothing)
    assert "the_culprit" in "".join(traceback.format_exception(caught.value))


def test_an_interrupted_command_leaves_no_job_that_goes_on() -> None:
    cleaned: list[str] = []
    changes: list[str] = []

    def job(instance: Instance, emit: workers.Emit) -> None:
        try:
            emit("begun")
            while True:
                changes.append(instance.name)
                stopping.sleep(0.01)
        finally:
            cleaned.append(instance.name)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers.each(THREE, job, interrupt)
    count = len(changes)
    assert set(cleaned) == set(changes)
    time.sleep(0.1)
    assert len(changes) == count


def test_an_interrupted_command_does_not_wait_for_what_hangs_which_then_changes_nothing() -> None:
    ours, theirs = socket.socketpair()
    changes: list[bytes] = []

    def job(instance: Instance, emit: workers.Emit) -> None:
        emit("begun")
        if instance.name == "redis":
            byte = ours.recv(1)
            stopping.check()
            changes.append(byte)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with ours, theirs:
        with pytest.raises(KeyboardInterrupt):
            workers.each(THREE, job, interrupt)
        assert time.monotonic() - begun < 10
        theirs.send(b"x")
        time.sleep(0.2)
    assert changes == []


def test_an_interrupted_command_ends_the_program_that_a_job_waits_for() -> None:
    ended: list[str] = []

    def job(instance: Instance, emit: workers.Emit) -> None:
        emit("begun")
        try:
            run(["sleep", "60"], timeout=60)
        finally:
            ended.append(instance.name)

    def interrupt(_: object) -> None:
        time.sleep(0.1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers.each(THREE, job, interrupt)
    assert set(ended) == set(THREE.instances)


def test_a_thread_that_hangs_keeps_no_process_from_ending() -> None:
    code = """
        import socket
        from mngdb.ops import workers
        from tests.unit.test_workers import THREE

        ends = socket.socketpair()

        def interrupt(event):
            raise KeyboardInterrupt

        workers.each(THREE, lambda one, emit: (emit("begun"), ends[0].recv(1)), interrupt)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "SystemExit" not in done.stderr
