"""What every engine promises on every target."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.conformance.drivers import Driver
from tests.conformance.places import Place, actions, place
from tests.live.scrapes import until

TARGETS = ("local", "yard", "external")


class Promises:
    """A subclass is the suite for one engine. Each test gets a stack that is up, with the app
    `shop`, and leaves it so; the last one removes it."""

    driver: ClassVar[Driver]

    @pytest.fixture(scope="class", params=TARGETS)
    @classmethod
    def place(
        cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Place]:
        folder: Path = tmp_path_factory.mktemp("stack")
        with place(cls.driver, request.param, folder) as found:
            yield found

    def test_the_first_plan_shows_what_up_does(self, place: Place) -> None:
        planned = actions(place.plan)
        assert ("create", f"secret {place.engine}_shop") in planned
        assert [action for action, _ in planned].count("start") == place.ours
        assert any(action == "create" and "shop" in name for action, name in planned)
        assert actions(place.report) == planned

    def test_the_second_plan_is_empty(self, place: Place) -> None:
        assert place.steps() == []

    def test_an_app_works_with_its_variables(self, place: Place) -> None:
        place.driver.put(place.env, "first")
        assert place.driver.get(place.env) == "first"

    def test_another_password_is_refused(self, place: Place) -> None:
        env, name = place.env, place.driver.variable
        secret = (place.cli.state / "secrets" / f"{place.engine}_shop").read_text().strip()
        assert secret in env[name]
        with pytest.raises(place.driver.refusal):
            place.driver.get({name: env[name].replace(secret, "x" * len(secret))})
        with pytest.raises(place.driver.refusal):
            place.driver.get({name: env[name].replace("://shop:", "://stranger:")})

    def test_status_is_what_the_server_says(self, place: Place) -> None:
        unit = place.unit
        assert (unit["healthy"], unit["user"]) == (True, "shop")
        assert unit["version"][0].isdigit()
        assert unit["uptime"] >= 0
        assert (unit["memory"] is not None) == place.ours
        assert (unit["member"], unit["role"], unit["lag"]) == (unit["name"], "primary", None)

    def test_doctor_finds_nothing(self, place: Place) -> None:
        place.cli.ok("doctor", "shop")

    def test_a_secret_that_changed_in_the_vault_is_set(self, place: Place) -> None:
        before = place.env
        place.cli.ok("secret", "set", f"{place.engine}_shop", stdin="another-secret-of-the-app" * 2)
        assert actions(place.cli.json("up"))
        assert place.steps() == []
        del place.env
        place.driver.put(place.env, "second")
        with pytest.raises(place.driver.refusal):
            place.driver.get(before)

    def test_a_rotation_refuses_nobody(self, place: Place) -> None:
        settings = place.cli.state / "secrets" / "apps" / "shop" / "settings.json"
        before, driver, over = place.env, place.driver, threading.Event()
        driver.put(before, "rotated")
        tried, refused = list[str | None](), list[Exception]()

        def follow() -> None:
            while not over.is_set():
                try:
                    tried.append(driver.get(json.loads(settings.read_text())))
                except driver.refusal as error:
                    refused.append(error)

        client = threading.Thread(target=follow)
        client.start()
        try:
            assert place.cli.json("rotate", "shop")["done"] == [f"{place.engine}_shop"]
        finally:
            over.set()
            client.join()
        assert (refused, set(tried)) == ([], {"rotated"})
        assert place.steps() == []
        del place.env
        driver.put(place.env, "by the new login")
        with pytest.raises(driver.refusal):
            driver.get(before)

    def test_the_login_of_an_app_that_left_is_closed_and_its_data_stays(self, place: Place) -> None:
        place.driver.put(place.env, "kept")
        place.write(app=False)
        place.cli.ok("up")
        assert place.steps() == []
        with pytest.raises(place.driver.refusal):
            place.driver.get(place.env)
        place.cli.ok("up", "--prune")
        assert place.steps("--prune") == []
        place.write()
        place.cli.ok("up")
        assert place.driver.get(place.env) == "kept"

    def test_a_snapshot_is_taken_verified_restored_and_proved(self, place: Place) -> None:
        place.driver.put(place.env, "in the snapshot")
        (taken,) = place.cli.json("backup")["instances"]
        place.driver.put(place.env, "after it")
        (listed,) = place.cli.json("backups")["instances"]
        assert [one["id"] for one in listed["snapshots"]] == [taken["id"]]
        assert place.cli.json("verify")["verdict"] == "pass"
        (drill,) = json.loads(place.cli.run("--json", "drill").stdout)["drills"]
        assert drill["verdict"] == "pass", drill["checks"]
        assert not list((place.cli.state / "drills").glob("*")), "nothing is left of it"
        found = place.cli.json("restore", place.engine, "--latest")
        host, _, port = found["address"].rpartition(":")
        beside = place.driver.moved(place.env, host, int(port))
        assert place.driver.get(beside) == "in the snapshot"
        place.driver.put(beside, "written beside")
        assert place.driver.get(place.env) == "after it"
        if place.target != "local":
            refused = place.cli.run("restore", place.engine, "--latest", "--replace", "--yes")
            assert (refused.returncode, "cannot be replaced" in refused.stderr) == (2, True)
            assert place.cli.json("restore", "--forget", place.engine)["removed"]
            return
        # nobody knows what was written to the server beside: it does not take the live one's place
        taken = place.cli.json("restore", place.engine, "--latest", "--replace", "--yes")
        assert taken["replaced"]
        assert place.driver.get(place.env) == "in the snapshot"
        assert place.steps() == []
        place.driver.put(place.env, "after the restore")
        place.cli.ok("restart")
        assert place.driver.get(place.env) == "after the restore"
        place.cli.ok("restore", place.engine, "--undo", "--yes")
        assert place.driver.get(place.env) == "after it"
        assert place.steps() == []
        words = ("restore", "--forget", place.engine)
        assert len(place.cli.json(*words)["removed"]) == 1
        assert place.cli.json(*words, "--replaced", "--yes")["removed"]

    def test_down_stops_and_up_brings_the_data_back(self, place: Place) -> None:
        place.driver.put(place.env, "through the night")
        place.cli.ok("down")
        assert (place.unit["healthy"], place.unit["state"] == "stopped") == (
            (False, True) if place.ours else (True, False)
        )
        place.cli.ok("up")
        assert place.driver.get(place.env) == "through the night"

    def test_restart_starts_it_anew(self, place: Place) -> None:
        until(lambda: place.unit["uptime"] > 3)
        before, begun = place.unit["uptime"], time.monotonic()
        report = place.cli.json("restart")
        assert [action for action, _ in actions(report)] == ["restart"] * place.ours
        ran_on = before + time.monotonic() - begun
        assert not place.ours or place.unit["uptime"] < ran_on - 1
        assert place.steps() == []

    def test_logs_are_the_servers_own(self, place: Place) -> None:
        done = place.cli.run("logs", place.engine, "-n", "3")
        assert done.returncode == (0 if place.ours else 2)
        assert len(done.stdout.splitlines()) == (3 if place.ours else 0)

    def test_destroy_removes_everything(self, place: Place) -> None:
        state, (unit,), env = place.cli.state, place.report["units"], place.env
        place.cli.ok("destroy", "--yes", "mng" if place.ours else "ours")
        assert not state.exists()
        if place.ours:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((unit["host"], unit["port"]))
        else:
            assert place.driver.get(env), "what is somebody else's stays"
