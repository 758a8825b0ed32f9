"""Passwords of servers in containers are rotated: no container is made anew or restarted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.compose.stacks import ComposeCli
from tests.conftest import ROOT
from tests.live.followers import published, settings

pytestmark = pytest.mark.docker
UNITS = {"postgres": ("pg", 5432), "redis": ("redis", 6379), "mongodb": ("mongo", 27017)}


def test_a_rotation_under_load_refuses_nobody_and_restarts_nothing(stack: ComposeCli) -> None:
    publish = ", ".join(f'{one}: "127.0.0.1:{port}"' for one, (_, port) in UNITS.items())
    rights = 'postgres: shop, redis: "shop:*", mongodb: shop'
    (stack.folder / "mngdb.yaml").write_text(
        f"name: {stack.name}\ntarget: {{compose: {{publish: {{{publish}}}}}}}\nagent: false\n"
        f"postgres: {{memory: 64mb}}\nredis: {{memory: 64mb}}\nmongodb: {{memory: 256mb}}\n"
        f"apps:\n  shop: {{{rights}}}\n"
    )
    stack.ok("up")
    started = {unit: _started(stack, unit) for unit, _ in UNITS.values()}
    here = {f"{stack.unit(unit)}:{port}": f"127.0.0.1:{port}" for unit, port in UNITS.values()}
    words = ("-m", "tests.live.followers", str(published(stack, "shop")), json.dumps(here))
    with subprocess.Popen(
        stack.docker.inside(sys.executable, *words),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as clients:
        assert clients.stdout is not None
        assert clients.stdout.readline() == "begun\n"
        assert stack.json("rotate", "--all")["rotations"] == []
        found = json.loads(clients.communicate()[0])
    for engine, tried in found["tried"].items():
        print(f"{engine:<10}compose   {tried} tried, {found['refused'].get(engine, 0)} refused")
    assert (found["errors"], found["refused"]) == ([], {})
    assert set(found["tried"]) == set(UNITS)
    assert (found["old"], set(found["new"])) == ([], set(UNITS))
    assert settings(stack, "shop")["POSTGRES_USER"] == "shop.2"
    assert stack.steps() == []
    assert {unit: _started(stack, unit) for unit in started} == started
    for unit in started:
        stack.health(unit)
    stack.ok("doctor", "shop")


def _started(stack: ComposeCli, what: str) -> str:
    return str(stack.inspect(what)["State"]["StartedAt"])
