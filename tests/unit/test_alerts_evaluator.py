"""Rounds: what is pending, what fires, what is over, and what a restart does to it."""

from __future__ import annotations

import random
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mngdb.alerts import memory
from mngdb.alerts.catalogue import RULES
from mngdb.alerts.evaluator import Alert, Evaluator
from mngdb.alerts.expr import increase, metric
from mngdb.alerts.judge import History, judge
from mngdb.alerts.rules import Active, active
from mngdb.samples import Family, Sample, labelled
from mngdb.spec.alerts import Alerts
from tests.trixie import program

ROUND = 15.0


def rules(*names: str) -> list[Active]:
    found = active(RULES, {"redis": ["redis"]}, Alerts())
    return [rule for rule in found if rule.name in names]


def family(name: str, value: float) -> Family:
    return Family(name, "gauge", "", [Sample(name, (), value)])


def feed(evaluator: Evaluator, at: float, **values: float) -> list[tuple[str, str]]:
    """A round of redis' metrics; returns what changed."""
    families = labelled(
        [family(f"redis_{name}", value) for name, value in values.items()],
        job="redis",
        instance="redis",
    )
    return [(alert.state, alert.name) for alert in evaluator.feed(at, families)]


def test_pending_then_firing_then_over() -> None:
    evaluator = Evaluator(rules("RedisDown"))
    assert feed(evaluator, 0, up=1) == []
    assert feed(evaluator, 15, up=0) == [("pending", "RedisDown")]
    assert feed(evaluator, 60, up=0) == []
    assert feed(evaluator, 75, up=0) == [("firing", "RedisDown")]
    assert feed(evaluator, 90, up=0) == []
    (alert,) = evaluator.alerts
    assert (alert.since, alert.instance, alert.value) == (15, "redis", 0)
    assert alert.summary.startswith("Redis redis ")
    assert feed(evaluator, 105, up=1) == [("resolved", "RedisDown")]
    assert evaluator.alerts == []


def test_a_blip_begins_the_wait_anew() -> None:
    evaluator = Evaluator(rules("RedisDown"))
    for at, up in ((0, 0), (45, 1), (60, 0), (105, 0)):
        feed(evaluator, at, up=up)
    assert [alert.state for alert in evaluator.alerts] == ["pending"]


def test_a_metric_that_is_gone_is_no_metric_that_is_bad() -> None:
    evaluator = Evaluator(rules("RedisNoMemoryLimit", "RedisHighMemory"))
    for at in range(0, 600, 15):
        assert feed(evaluator, at, up=0) == []


def test_without_a_limit_the_share_of_it_is_not_judged() -> None:
    evaluator = Evaluator(rules("RedisNoMemoryLimit", "RedisHighMemory"))
    for at in range(0, 600, 15):
        feed(evaluator, at, memory_used_bytes=1e9, memory_max_bytes=0)
    assert [alert.name for alert in evaluator.alerts] == ["RedisNoMemoryLimit"]


def restarted(evaluator: Evaluator, path: Path, at: float, *names: str) -> Evaluator:
    memory.save(path, at, evaluator.alerts, {}, running=True)
    found = memory.load(path)
    return Evaluator(rules(*names), found.alerts, found.at)


def test_a_restart_neither_forgets_nor_repeats(tmp_path: Path) -> None:
    evaluator = Evaluator(rules("RedisDown"))
    feed(evaluator, 0, up=0)
    after = restarted(evaluator, tmp_path / "state", 0, "RedisDown")
    assert feed(after, 30, up=0) == []
    assert feed(after, 60, up=0) == [("firing", "RedisDown")]
    again = restarted(after, tmp_path / "state", 60, "RedisDown")
    assert feed(again, 75, up=0) == []
    assert [alert.since for alert in again.alerts] == [0]
    last = restarted(again, tmp_path / "state", 75, "RedisDown")
    assert feed(last, 90, up=1) == [("resolved", "RedisDown")]


def test_what_was_pending_long_ago_waits_anew_but_what_fired_still_fires(tmp_path: Path) -> None:
    evaluator = Evaluator(rules("RedisDown"))
    feed(evaluator, 0, up=0)
    after = restarted(evaluator, tmp_path / "state", 0, "RedisDown")
    assert feed(after, 4000, up=0) == [("pending", "RedisDown")]
    feed(after, 4060, up=0)
    last = restarted(after, tmp_path / "state", 4060, "RedisDown")
    assert feed(last, 9000, up=0) == []


def test_after_a_restart_a_rate_is_not_over_before_it_can_be_known(tmp_path: Path) -> None:
    name = "RedisConnectionsRejected"
    evaluator = Evaluator(rules(name))
    feed(evaluator, 0, rejected_connections_total=0)
    assert feed(evaluator, 15, rejected_connections_total=5) == [("firing", name)]
    after = restarted(evaluator, tmp_path / "state", 15, name)
    for at in range(30, 330, 15):
        assert feed(after, at, rejected_connections_total=5) == []
    assert feed(after, 330, rejected_connections_total=5) == [("resolved", name)]


def test_restarts_do_not_prolong_an_alert_that_nobody_finds(tmp_path: Path) -> None:
    name = "RedisConnectionsRejected"
    last = Evaluator(rules(name))
    feed(last, 0, rejected_connections_total=0)
    assert feed(last, 15, rejected_connections_total=5) == [("firing", name)]
    told = {}
    for at in range(30, 600, 15):
        if at % 60 == 0:
            last = restarted(last, tmp_path / "state", at - 15, name)
        told[at] = feed(last, at, rejected_connections_total=5)
    assert {at for at, found in told.items() if found} == {345}
    assert told[345] == [("resolved", name)]


def test_after_the_clock_was_set_what_fires_goes_on_and_what_waited_waits_anew() -> None:
    for back in (-86_400, 86_400):
        names = ("RedisDown", "RedisConnectionsRejected", "RedisLogRewriteFailing")
        evaluator = Evaluator(rules(*names))
        at, bad = 100_000.0, {"aof_enabled": 1.0, "aof_last_bgrewrite_status": 0.0}
        feed(evaluator, at, up=0, rejected_connections_total=0)
        feed(evaluator, at + 60, up=0, rejected_connections_total=5, **bad)
        state = {one.name: one.state for one in evaluator.alerts}
        assert [*state.values()] == ["firing", "firing", "pending"]
        at += back
        evaluator.anew()
        for more in range(0, 300, 15):
            feed(evaluator, at + more, up=0, rejected_connections_total=5, **bad)
            assert {one.name: one.state for one in evaluator.alerts} == state
            assert all(one.since <= at for one in evaluator.alerts)
        told = feed(evaluator, at + 300, up=0, rejected_connections_total=5, **bad)
        assert told == [("firing", names[2]), ("resolved", names[1])]


def test_a_damaged_file_of_state_is_said_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert memory.load(path) == memory.Memory()
    for text in ("", "{", "[]", '{"version": 9}', '{"version": 1, "alerts": [{}]}'):
        path.write_text(text)
        assert memory.load(path) == memory.Memory(damaged=True)


def test_the_file_of_state_is_private(tmp_path: Path) -> None:
    memory.save(tmp_path / "state", 0, [], {}, running=True)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


def test_an_alert_comes_back_from_json_as_it_was() -> None:
    evaluator = Evaluator(rules("RedisDown"))
    feed(evaluator, 7, up=0)
    (alert,) = evaluator.alerts
    from mngdb.alerts.evaluator import restored

    assert restored(alert.as_json()) == alert


def test_the_past_has_an_end() -> None:
    """A day of rounds, with a thousand series that come and go."""
    history = History()
    name = "pg_stat_database_deadlocks"
    for number in range(5760):
        sample = Sample(name, (("datname", f"d{number % 1000}"),), number)
        other = Sample("other", (), number)
        families = [Family(name, "counter", "", [sample]), Family("other", "gauge", "", [other])]
        history.take(number * ROUND, families, {name}, {name: 300})
    assert sum(len(past) for past in history.past(name).values()) <= 2 * 300 / ROUND
    assert set(history.newest) == {name}


def test_thousands_of_series_are_kept_small() -> None:
    """Of databases: what their labels have in common is kept once, and the past is numbers."""
    names = [f"pg_stat_database_{number}" for number in range(3)]
    history = History()

    def round_(number: int) -> Iterator[Family]:
        for name in names:
            pairs = [("datname", f"d{one}") for one in range(100)]
            samples = [Sample(name, (pair,), number) for pair in pairs]
            yield Family(name, "counter", "", samples)

    tracemalloc.start()
    try:
        for number in range(40):
            found = labelled(round_(number), job="postgres", instance="postgres")
            history.take(number * ROUND, found, {*names}, dict.fromkeys(names, 600))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / (len(names) * 100) < 1200  # bytes; 40 moments of 16 are half of that


def test_the_worst_and_the_oldest_stand_first() -> None:
    evaluator = Evaluator(rules("RedisDown", "RedisNoMemoryLimit", "RedisHighConnections"))
    feed(evaluator, 0, memory_max_bytes=0, connected_clients=9, max_clients=10)
    feed(evaluator, 400, memory_max_bytes=0, connected_clients=9, max_clients=10, up=0)
    assert [(a.state, a.name) for a in evaluator.alerts] == [
        ("firing", "RedisHighConnections"),
        ("firing", "RedisNoMemoryLimit"),
        ("pending", "RedisDown"),
    ]


def test_growth_is_what_prometheus_estimates(tmp_path: Path) -> None:
    """Counters that grow, stand still, begin anew and are missing now and then."""
    chance = random.Random(7)
    series: dict[str, list[float | None]] = {}
    for number in range(40):
        value = float(chance.choice([0, 0, 3, 1000]))
        values: list[float | None] = []
        for _ in range(40):
            if chance.random() < 0.05:
                value = 0.0
            value += chance.choice([0, 0, 1, 50])
            values.append(None if chance.random() < chance.choice([0, 0.3]) else value)
        series[str(number)] = values
    expr, history, expected = increase(metric("c"), 900), History(), []
    for number in range(40):
        samples = [
            Sample("c", (("n", name),), now)
            for name, values in series.items()
            if (now := values[number]) is not None
        ]
        history.take(number * 70.0, [Family("c", "counter", "", samples)], {"c"}, {"c": 900})
        found = judge(expr, history)
        expected.append(
            {
                "expr": f"round({expr.promql()}, 0.001)",
                "eval_time": f"{number * 70}s",
                "exp_samples": [
                    {"labels": f'{{n="{dict(labels)["n"]}"}}', "value": int(v * 1000 + 0.5) / 1000}
                    for labels, v in found.items()
                ],
            }
        )
    assert sum(bool(one["exp_samples"]) for one in expected) > 30
    test = {
        "interval": "70s",
        "input_series": [
            {
                "series": f'c{{n="{name}"}}',
                "values": " ".join("_" if value is None else f"{value:g}" for value in values),
            }
            for name, values in series.items()
        ],
        "promql_expr_test": expected,
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"evaluation_interval": "70s", "tests": [test]}))
    done = subprocess.run(
        [program("promtool"), "test", "rules", path], text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_kept_as_json(value: float) -> None:
    alert = Alert("A", "info", "firing", (), 0, value, "", "", "")
    assert alert.as_json()["value"] is None
