"""A moment that was is brought back: by the agent, the store and the engine together.

The toy's log has a moment for each write, so that every one can be tried; what the engines' logs
hold is for their own tests.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.logs import agent, followed, reached, restored, snapshots
from tests.conformance.places import Place
from tests.live.scrapes import until

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A toy server whose agent archives its log."""
    with followed(tmp_path_factory.mktemp("stack")) as found:
        yield found


def test_every_moment_has_what_was_there(place: Place) -> None:
    history: list[tuple[float, str]] = []
    for number in range(30):
        place.driver.put(place.env, f"value {number}")
        history.append((time.time(), f"value {number}"))
        time.sleep(0.2)
    until(lambda: reached(place) > history[-1][0])
    (glance,) = place.cli.json("status")["backups"]
    assert glance["recovery_point_s"] < 20
    [moments] = place.cli.json("check", "--only", "stack.backup-moments")["findings"]
    assert moments["verdict"] == "pass", moments
    assert glance["error"] is None
    for number in random.Random(1).sample(range(len(history) - 1), 5):
        moment, value = history[number]
        assert restored(place, moment + 0.05) == value, number


def test_what_was_written_last_is_there_though_all_is_killed(place: Place) -> None:
    place.driver.put(place.env, "before the end")
    moment = time.time()
    until(lambda: reached(place) > moment)
    pid = int((place.cli.state / "agent" / "agent.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert restored(place, moment) == "before the end"
    place.driver.put(place.env, "while nobody looked")
    later = time.time()
    with agent(place):
        until(lambda: reached(place) > later)
    assert restored(place, later) == "while nobody looked"
    assert len(snapshots(place)) == 1, "there is no gap"


def test_an_empty_mount_point_is_not_taken_for_the_store(place: Place) -> None:
    store, away = place.cli.folder / "store", place.cli.folder / "away"
    with agent(place):
        place.driver.put(place.env, "before")
        begun = time.time()
        until(lambda: reached(place) > begun)
        store.rename(away)
        store.mkdir()
        place.driver.put(place.env, "while it was away")
        moment = time.time()

        def noticed() -> bool:
            (glance,) = place.cli.json("status")["backups"]
            return glance["error"] is not None

        until(noticed)
        assert reached(place) < moment
        for command in ("backup", "backups", "verify", "drill"):
            done = place.cli.run(command)
            assert (done.returncode != 0, "mount the disk" in done.stderr) == (True, True), command
        assert list(store.iterdir()) == []
        store.rmdir()
        away.rename(store)
        until(lambda: reached(place) > moment, 40)
    assert restored(place, moment) == "while it was away"
    place.cli.ok("verify")


def test_moments_that_cannot_be_reached_are_refused_with_the_nearest(place: Place) -> None:
    for text, said in (
        ("2001-02-03 04:05:06", "the first one after it is"),
        ("400d ago", "the first one after it is"),
        ("yesterday", "is not a time"),
        ("2999-01-01", "is in the future"),
        ("before-last-flushall", "does not show"),
    ):
        begun = time.monotonic()
        done = place.cli.run("restore", "toy", "--to", text)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
        assert time.monotonic() - begun < 5
    assert not list((place.cli.state / "restored").glob("*/"))


def test_a_drill_tries_a_moment_and_verify_reads_the_log(place: Place) -> None:
    (drill,) = place.cli.json("drill")["drills"]
    assert drill["verdict"] == "pass", drill["checks"]
    assert drill["rpo_s"] < 60
    assert place.cli.json("verify")["verdict"] == "pass"
    segments = sorted(Path(place.cli.folder, "store").rglob("*.log/*/*"))
    whole = segments[0].read_bytes()
    segments[0].write_bytes(whole[:-1])
    done = place.cli.run("--json", "verify")
    assert segments[0].name in json.loads(done.stdout)["damaged"][0]
    segments[0].unlink()
    done = place.cli.run("verify")
    assert "is missing" in done.stdout
    segments[0].write_bytes(whole)
    place.cli.ok("verify")


def _glance(place: Place) -> Any:
    """What `status` says of the backups; its agent is not the one that `up` starts."""
    return json.loads(place.cli.run("--json", "status").stdout)["backups"][0]


def test_an_older_state_of_the_store_is_told_and_a_new_snapshot_taken(
    place: Place, tmp_path: Path
) -> None:
    """Somebody removed what came last, or put an old copy back."""
    cli, store = place.cli, place.cli.folder / "store"
    older: list[Path] = [tmp_path / "log", tmp_path / "snapshot"]
    pidfile = cli.state / "agent" / "agent.pid"
    if pidfile.exists():
        os.kill(int(pidfile.read_text().split()[0]), signal.SIGTERM)
        until(lambda: not pidfile.exists())
    shutil.copytree(store, older[1])
    with agent(place):
        begun = time.time()
        until(lambda: reached(place) > begun)
        cli.ok("backup")
        shutil.copytree(store, older[0])
        place.driver.put(place.env, "later")
        moment = time.time()
        until(lambda: reached(place) > moment)
    assert json.loads(cli.run("--json", "backups").stdout)["lost"] == {}
    for state, what in zip(older, ("the log after", "snapshot 2"), strict=True):
        shutil.rmtree(store)
        shutil.copytree(state, store)
        done = cli.run("--json", "backups")
        lost = json.loads(done.stdout)["lost"]
        assert (done.returncode, f"stored there: {what}" in lost["toy"]) == (1, True), lost
        done = cli.run("restore", "toy", "--latest")
        assert (done.returncode, f"stored there: {what}" in done.stderr) == (0, True), done.stderr
        cli.ok("restore", "--forget")
    with agent(place):
        until(lambda: "lacks" in (_glance(place)["error"] or ""))
        run = json.loads((cli.state / "backup-runs" / "toy").read_text())
        assert (run["tried"], run["branch"]) == (0.0, ""), "another snapshot is due"
        cli.ok("backup")
    assert cli.run("backups").returncode == 0
