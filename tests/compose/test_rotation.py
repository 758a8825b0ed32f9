"""Passwords of servers in containers are rotated: no container is made anew or restarted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.compose.stacks import ComposeCli
from tests.conftest import free_port
from tests.live.followers import following, lets_in, published, settings

pytestmark = pytest.mark.docker
ENGINES = ("postgres", "redis", "mongodb")


def test_a_rotation_under_load_refuses_nobody_and_restarts_nothing(stack: ComposeCli) -> None:
    ports = {engine: free_port() for engine in ENGINES}
    publish = ", ".join(f'{engine}: "127.0.0.1:{port}"' for engine, port in ports.items())
    rights = 'postgres: shop, redis: "shop:*", mongodb: shop'
    (stack.folder / "mngdb.yaml").write_text(
        f"name: {stack.name}\ntarget: {{compose: {{publish: {{{publish}}}}}}}\nagent: false\n"
        f"postgres: {{memory: 64mb}}\nredis: {{memory: 64mb}}\nmongodb: {{memory: 256mb}}\n"
        f"apps:\n  shop: {{{rights}}}\n"
    )
    stack.ok("up")
    started = {what: _started(stack, what) for what in ("pg", "redis", "mongo")}
    document = published(stack, "shop")

    def outside() -> Any:
        """What the app reads, with the addresses that containers publish."""
        text = document.read_text()
        for engine, unit in zip(ENGINES, ("pg", "redis", "mongo"), strict=True):
            found = json.loads(text)
            at = next(v for k, v in found.items() if k.endswith("_HOST") and unit in v)
            prefix = next(k for k, v in found.items() if k.endswith("_HOST") and v == at)[:-5]
            text = text.replace(f"{at}:{found[prefix + '_PORT']}", f"127.0.0.1:{ports[engine]}")
        return json.loads(text)

    before = outside()
    with following(document, dict.fromkeys(ENGINES, 1), read=outside) as found:
        assert stack.json("rotate", "--all")["rotations"] == []
    for engine, tried in found.tried.items():
        print(f"{engine:<10}compose   1 rotation, {tried} tried, {found.refused[engine]} refused")
    assert (found.errors[:3], sum(found.refused.values())) == ([], 0)
    assert set(found.tried) == set(ENGINES)
    assert [engine for engine in ENGINES if lets_in(engine, before)] == []
    assert all(lets_in(engine, outside()) for engine in ENGINES)
    assert settings(stack, "shop")["POSTGRES_USER"] == "shop.2"
    assert stack.steps() == []
    assert {what: _started(stack, what) for what in started} == started
    for what in started:
        stack.health(what)
    stack.ok("doctor", "shop")


def _started(stack: ComposeCli, what: str) -> str:
    return str(stack.inspect(what)["State"]["StartedAt"])
