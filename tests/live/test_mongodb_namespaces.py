"""What an app does with the names of its collections is told of these, and costs nobody else."""

from __future__ import annotations

import pytest

from tests.checks.judge import findings
from tests.conftest import Cli
from tests.live.clients import mongo_as, planned

pytestmark = pytest.mark.live

FILE = """
mongodb:
  port: PORT1
  slow: 1ms
  databases:
    ea: {indexes: {users: [{keys: {email: 1}}], points: [{keys: {at: 1}, unique: true}]}}
    eb: {indexes: {orders: [{keys: {at: 1}}]}}
apps:
  ea: {mongodb: ea}
"""
CHECKS = ("indexes", "index-options", "index-unused", "index-twice", "index-count")


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    module_cli.write(FILE + "  old: {mongodb: eb}\n")
    module_cli.ok("up")
    return module_cli


def test_a_view_or_a_time_series_in_a_collections_place_costs_its_own_step_alone(
    stack: Cli,
) -> None:
    with mongo_as(stack, "ea") as client, mongo_as(stack) as admin:
        client.ea.users.drop()
        client.ea.create_collection("users", viewOn="points")
        client.ea.points.drop()
        client.ea.create_collection("points", timeseries={"timeField": "at"})
        admin.eb.orders.drop_index("at_1")
        stack.write(FILE + "  new: {mongodb: eb}\n")
        steps = set(planned(stack))
        done = stack.run("--json", "up", "--prune")
        assert {("change", "ea.users"), ("create", "ea.points.at_1")} < steps
        assert ("create", "eb.orders.at_1") in steps
        assert done.returncode == 1
        assert "ea.users is a view, not a collection" in done.stderr + done.stdout
        assert set(planned(stack)) == {("change", "ea.users"), ("create", "ea.points.at_1")}
        users = {one["user"] for one in admin.admin.command("usersInfo")["users"]}
        assert ("new" in users, "old" in users) == (True, False)
        told = stack.run("up").stderr
        assert "ea.users could not be inspected" in told
        assert "if a view has that name, drop it" in told
        client.ea.users.drop()
        client.ea.points.drop()
    stack.ok("up")
    assert planned(stack) == []


def test_checks_and_advice_leave_out_a_view_and_tell_of_the_rest(stack: Cli) -> None:
    with mongo_as(stack, "ea") as client, mongo_as(stack) as admin:
        stack.write(FILE)
        client.ea.users.drop()
        client.ea.create_collection("users", viewOn="points")
        for keys in ("n", [("n", 1), ("m", 1)]):
            admin.eb.orders.create_index(keys)
        found = findings(stack, *(f"mongodb.{name}" for name in CHECKS))
        verdicts = {name: found[f"mongodb.{name}"].verdict for name in CHECKS}
        assert verdicts == dict.fromkeys(CHECKS, "pass") | {
            "indexes": "fail",
            "index-twice": "fail",
        }
        assert found["mongodb.indexes"].evidence == "ea.users.email_1"
        assert found["mongodb.index-twice"].evidence == "eb.orders.n_1 is a prefix of n_1_m_1"
        (advice,) = stack.json("indexes")["instances"]
        assert [one["index"] for one in advice["indexes"]] == ["n_1"]
        stack.ok("bloat")
        client.ea.users.drop()
        admin.eb.orders.drop_indexes()


def test_many_collections_of_one_app_do_not_hide_those_of_another(stack: Cli) -> None:
    stack.write(FILE)
    with mongo_as(stack) as admin:
        for number in range(220):
            admin.ea.create_collection(f"c{number}")
        for keys in ("n", [("n", 1), ("m", 1)]):
            admin.eb.late.create_index(keys)
        found = findings(stack, "mongodb.index-twice")["mongodb.index-twice"]
        assert "eb.late.n_1 is a prefix of n_1_m_1" in found.evidence
        assert "left out: 24 collections of ea" in found.evidence
        for number in range(220):
            admin.ea.drop_collection(f"c{number}")
        admin.eb.late.drop()


def test_a_field_without_a_name_does_not_end_slow_and_indexes(stack: Cli) -> None:
    stack.write(FILE)
    stack.ok("up")
    with mongo_as(stack, "ea") as client:
        client.ea.odd.insert_many({"n": number} for number in range(20_000))
        assert list(client.ea.odd.find({"": 1})) == []
        shown = [one["text"] for one in stack.json("slow", "--most", "500")["statements"]]
        assert "odd.find({: ?})" in shown
        stack.ok("indexes")
        client.ea.odd.drop()
