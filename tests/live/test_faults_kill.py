"""Commands that are killed, at any moment: the next `up` finishes, and no data is lost."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.conftest import EVERYTHING, Cli
from tests.live import faults

pytestmark = [pytest.mark.live, pytest.mark.slow]
UNITS = {"mng-pg", "mng-redis", "mng-mongo"}
#: What the next moments are multiplied by where a command ended before it was killed: a machine is
#: not always as busy as when the command was timed.
_QUICKER = 0.75
SEED = int(os.environ.get("MNGDB_TEST_SEED") or 20261122)


@pytest.fixture(scope="module")
def dice() -> random.Random:
    """Moments to kill at; MNGDB_TEST_SEED takes others."""
    print(f"MNGDB_TEST_SEED={SEED}")
    return random.Random(SEED)


def moments(dice: random.Random, count: int, longest: float) -> list[tuple[float, bool]]:
    """One moment in each of `count` even parts of the time, and whether to kill the whole group."""
    part = longest / count
    found = [(dice.uniform(i * part, (i + 1) * part), dice.random() < 0.5) for i in range(count)]
    dice.shuffle(found)
    print("kills (seconds, group):", [(round(t, 3), g) for t, g in found])
    return found


def took(cli: Cli, *command: str) -> float:
    """Seconds that a command takes, here and now."""
    begun = time.monotonic()
    cli.ok(*command)
    return time.monotonic() - begun


def test_an_up_killed_while_it_makes_everything_is_finished_by_the_next(
    cli: Cli, dice: random.Random
) -> None:
    cli.write(faults.STACK)
    cli.ok("up")  # the first one makes what the others copy
    cli.ok("destroy", "--yes", "mng")
    whole = took(cli, "up")
    cli.ok("destroy", "--yes", "mng")
    hit, pace = 0, 1.0
    for seconds, group in moments(dice, 8 if EVERYTHING else 5, 1.4 * whole):
        killed = faults.killed_after(cli, pace * seconds, "up", group=group)
        hit, pace = hit + killed, pace if killed else _QUICKER * pace
        if seconds > 0.7 * whole:
            # the later moments need a stack that is not there yet
            cli.ok("up")
            faults.sound(cli, UNITS)
            cli.ok("destroy", "--yes", "mng")
    cli.ok("up")
    faults.sound(cli, UNITS)
    assert hit >= 2, "most commands ended before they were killed: the test shows little"


def test_killed_restarts_and_stops_lose_no_data(cli: Cli, dice: random.Random) -> None:
    cli.write(faults.STACK)
    cli.ok("up")
    data = faults.Data(cli)
    written = []
    hit, pace = 0, 1.0
    restarting = took(cli, "restart")
    stopping = took(cli, "down")
    cli.ok("up")
    kills = [("up", *m) for m in moments(dice, 7 if EVERYTHING else 4, restarting)]
    kills += [("down", *m) for m in moments(dice, 5 if EVERYTHING else 3, 1.2 * stopping)]
    dice.shuffle(kills)
    for number, (command, seconds, group) in enumerate(kills):
        data.write(f"value {number}")
        written.append(f"value {number}")
        # each of these is read at a start only, or has the server started anew
        cli.write(
            faults.STACK.replace("PORT1", f"PORT1, max_connections: {50 + number}")
            .replace("PORT2", f"PORT2, settings: {{databases: {17 + number}}}")
            .replace("PORT3", f"PORT3, max_connections: {500 + number}")
        )
        killed = faults.killed_after(cli, pace * seconds, command, group=group)
        hit, pace = hit + killed, pace if killed else _QUICKER * pace
        cli.ok("up")
        faults.sound(cli, UNITS)
        assert data.read() == [written] * 3
    assert hit >= len(kills) // 2, (
        "most commands ended before they were killed: the test shows little"
    )


def test_an_initdb_that_outlives_its_command_is_ended_by_the_next(cli: Cli) -> None:
    faults.killed_in_initdb(cli)
    assert faults.running(cli), "initdb was over too soon for this test"
    cli.ok("up")
    faults.sound(cli, {"mng-pg"})


def test_down_ends_what_a_killed_up_left_and_removes_half_a_data_folder(cli: Cli) -> None:
    unit = faults.killed_in_initdb(cli)
    cli.ok("down")
    assert faults.settle(cli) == set()
    assert list(unit.glob("data*")) == []


@pytest.mark.parametrize("moment", ["new data folder", "starting on", "mng-redis  healthy"])
def test_ctrl_c_exits_130_with_a_sentence_and_the_next_up_finishes(cli: Cli, moment: str) -> None:
    cli.write(faults.STACK)
    process, said = faults.interrupted(cli, "up", moment=moment)
    assert process.returncode == 130, said
    assert "interrupted; completed steps are kept" in said
    assert "Traceback" not in said
    assert faults.workers(process.pid) == []
    assert list(faults.servers(cli).glob("*/data.new-*")) == []
    cli.ok("up")
    faults.sound(cli, UNITS)


def test_files_that_a_killed_command_was_writing_are_removed_by_the_next(cli: Cli) -> None:
    cli.write(faults.REDIS)
    cli.ok("up")
    places = [cli.state, cli.state / "secrets", cli.state / "agent"]
    unit = faults.servers(cli) / "mng-redis"
    left = [place / ".one.75ad960d" for place in (*places, unit, unit / "conf")]
    kept = unit / "data" / ".one.75ad960d"
    for path in (*left, kept):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
        os.utime(path, (0, 0))
    cli.ok("up")
    assert [path for path in left if path.exists()] == []
    assert kept.exists()
