"""A fourth engine takes one record, the models of the file and one package: nothing else is
touched, and the commands work with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from mngdb.cli.main import main
from mngdb.ops import registry
from mngdb.spec import file, load
from mngdb.spec.engine_info import ENGINE_INFO
from tests.conftest import Cli
from tests.toy import server
from tests.toy.record import TOY, ToyGrant, ToyInstance

FILE = "toy: {port: PORT1}\nagent: false\napps: {shop: {toy: shop/}}\n"


class Toy:
    """The command in this process, where the engine is registered."""

    def __init__(self, cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
        self.cli, self.capsys = cli, capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        self.capsys.readouterr()
        found = main(["-f", str(self.cli.folder / "mngdb.yaml"), *words])
        out, err = self.capsys.readouterr()
        assert found == code, err
        return out

    def json(self, *words: str) -> Any:
        return json.loads(self("--json", *words))


@pytest.fixture
def toy(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Toy]:
    program = tmp_path / "bin" / "toy-server"
    program.parent.mkdir()
    shutil.copy(server.__file__, program)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setitem(ENGINE_INFO, TOY.name, TOY)
    monkeypatch.setitem(file.MODELS, TOY.name, file.Models(ToyInstance, ToyGrant))  # type: ignore[arg-type]
    monkeypatch.setitem(registry.PACKAGES, TOY.name, "tests.toy")
    wider = create_model("StackFile", __base__=file.StackFile, toy=(ToyInstance | None, None))
    monkeypatch.setattr(load, "StackFile", wider)
    cli.write(FILE)
    found = Toy(cli, capsys)
    yield found
    found("destroy", "--yes", "mng")


def steps(plan: dict[str, Any]) -> Sequence[tuple[str, str]]:
    return [(one["action"], one["object"]) for one in plan["steps"]]


# the servers outlive the commands that started them in this process
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_the_commands_work_with_it(toy: Toy) -> None:
    assert ("create", "shop") in steps(toy.json("plan"))
    toy("up")
    assert toy.json("plan")["steps"] == []
    (unit,) = toy.json("status")["units"]
    assert (unit["name"], unit["product"], unit["version"]) == ("mng-toy", "Toy", "1.2.3")
    assert "TOY_URL='toy://shop:" in toy("env", "shop")
    assert toy("url", "toy", "shop").startswith("toy://shop:")
    toy("doctor")
    toy("doctor", "shop")
    toy("check")
    toy("alerts")
    toy("sessions")
    toy("config")
    toy("render", "runbooks", "--output", str(toy.cli.folder / "docs"))
    toy("restart", "toy")
    toy("down")
    toy("up")


def test_a_login_whose_app_left_is_closed_then_pruned(toy: Toy) -> None:
    toy("up")
    toy.cli.write(FILE.replace("{shop: {toy: shop/}}", "{}"))
    assert steps(toy.json("plan")) == [("revoke", "shop")]
    toy("up")
    assert steps(toy.json("plan", "--allow", "shop")) == [("drop", "shop")]
    toy("up", "--prune")
    left = toy.json("plan")
    assert (left["steps"], left["remarks"]) == ([], [])


def test_a_verb_that_it_has_not_is_refused_with_those_who_have(toy: Toy) -> None:
    toy("up")
    toy("locks", code=2)
