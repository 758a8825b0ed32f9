"""A fourth engine takes one record, the models of the file and one package: nothing else is
touched, and the commands work with it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Cli
from tests.toy import server

FILE = "toy: {port: PORT1}\nagent: false\napps: {shop: {toy: shop/}}\n"


class Toy(Cli):
    """The command with the fourth engine."""

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.toy", *arguments]


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    programs = tmp_path / "bin"
    programs.mkdir()
    shutil.copy(server.__file__, programs / "toy-server")
    (programs / "toy-server").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    found = Toy(tmp_path, {"PATH": path, "PYTHONPATH": str(ROOT)})
    found.write(FILE)
    yield found
    found.ok("destroy", "--yes", "mng")


def steps(plan: dict[str, Any]) -> Sequence[tuple[str, str]]:
    return [(one["action"], one["object"]) for one in plan["steps"]]


def test_the_commands_work_with_it(toy: Toy) -> None:
    assert ("create", "shop") in steps(toy.json("plan"))
    toy.ok("up")
    assert toy.json("plan")["steps"] == []
    (unit,) = toy.json("status")["units"]
    assert (unit["name"], unit["product"], unit["version"]) == ("mng-toy", "Toy", "1.2.3")
    assert "TOY_URL='toy://shop:" in toy.ok("env", "shop")
    assert toy.ok("url", "toy", "shop").startswith("toy://shop:")
    toy.ok("doctor")
    toy.ok("doctor", "shop")
    toy.ok("check")
    toy.ok("alerts")
    toy.ok("sessions")
    toy.ok("config")
    toy.ok("render", "runbooks", "--output", str(toy.folder / "docs"))
    toy.ok("restart", "toy")
    toy.ok("down")
    toy.ok("up")


def test_a_login_whose_app_left_is_closed_then_pruned(toy: Toy) -> None:
    toy.ok("up")
    toy.write(FILE.replace("{shop: {toy: shop/}}", "{}"))
    assert steps(toy.json("plan")) == [("revoke", "shop")]
    toy.ok("up")
    assert steps(toy.json("plan", "--allow", "shop")) == [("drop", "shop")]
    toy.ok("up", "--prune")
    left = toy.json("plan")
    assert (left["steps"], left["remarks"]) == ([], [])


def test_a_verb_that_it_has_not_is_refused_with_those_who_have(toy: Toy) -> None:
    toy.ok("up")
    assert toy.run("locks").returncode == 2
