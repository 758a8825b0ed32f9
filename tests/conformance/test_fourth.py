"""A fourth engine and a fourth target take a record, a model and a package each: `tests/toy` and
`tests/yard`, registered in `tests/toy/__main__.py`. `test_toy.py` is the suite for them; here is
what else works with them, and how much a target has to have."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mngdb.targets.protocol import Target
from tests.conformance.drivers import TOY
from tests.conformance.places import Place, place


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(TOY, "yard", tmp_path_factory.mktemp("stack")) as found:
        yield found


@pytest.mark.live
@pytest.mark.parametrize("command", ["alerts", "sessions", "connections", "config"])
def test_a_command_works_with_them(yard: Place, command: str) -> None:
    yard.cli.ok(command)


@pytest.mark.live
def test_its_checks_pass(yard: Place) -> None:
    found = json.loads(yard.cli.run("--json", "check").stdout)["findings"]
    failed = {one["id"] for one in found if one["verdict"] == "fail"}
    assert failed == {"stack.backup-store"}, "its file asks for none"


@pytest.mark.live
def test_runbooks_name_them(yard: Place, tmp_path: Path) -> None:
    yard.cli.ok("render", "runbooks", "--output", str(tmp_path / "docs"))
    assert "toy" in "".join(one.read_text() for one in (tmp_path / "docs").iterdir())


@pytest.mark.live
def test_a_verb_that_the_engine_has_not_is_refused(yard: Place) -> None:
    assert yard.cli.run("locks").returncode == 2


@pytest.mark.live
def test_the_file_knows_their_keys(yard: Place) -> None:
    schema: Any = json.loads(yard.cli.ok("schema"))
    assert "toy" in schema["properties"]
    assert "account" in schema["$defs"]["Yard"]["properties"]
    yard.cli.write("target: {yard: {acount: x}}\ntoy: {}\n")
    try:
        done = yard.cli.run("plan")
    finally:
        yard.write()
    assert done.returncode == 2
    assert "'account'" in done.stderr


def test_what_every_target_must_have_is_little() -> None:
    members = {name for name in vars(Target) if not name.startswith("_")}
    optional = {name for name in members if isinstance(vars(Target)[name], property)}
    assert all("| None" in str(inspect.signature(vars(Target)[o].fget)) for o in optional)
    assert len(members - optional) <= 12
