"""Servers and their instances, and how a server's role is shown."""

from __future__ import annotations

import pytest

from mngdb.cli.stack import _state
from mngdb.model import Role
from mngdb.ops.status import UnitStatus
from tests.unit.spec import stack


def test_each_instance_has_a_member_by_its_units_name() -> None:
    external = "{engine: postgres, target: {external: {url: 'postgresql://a@db.example/x'}}}"
    found = stack(f"redis:\ninstances: {{legacy: {external}}}")
    assert {name: one.instance.name for name, one in found.members.items()} == {
        "mng-redis": "redis",
        "mng-legacy": "legacy",
    }
    assert [one.name for one in found.instances["legacy"].members] == ["mng-legacy"]


@pytest.mark.parametrize(
    ("role", "lag", "docker", "shown"),
    [
        ("primary", None, None, "healthy"),
        ("primary", None, "unhealthy", "healthy (Docker: unhealthy)"),
        ("replica", None, None, "healthy (replica)"),
        ("replica", 11.0, "healthy", "healthy (replica)"),
        ("replica", 95.0, None, "healthy (replica, 1m behind)"),
        ("replica", 0.0, "unhealthy", "healthy (replica, Docker: unhealthy)"),
        ("arbiter", None, None, "healthy (arbiter)"),
        (None, None, None, "healthy"),  # the agent
    ],
)
def test_a_role_is_shown_where_it_is_not_the_usual(
    role: Role | None, lag: float | None, docker: str | None, shown: str
) -> None:
    unit = UnitStatus("mng-pg", "postgres", "postgres", "running", True, "17", "127.0.0.1", 5432)
    told = UnitStatus(**{**unit.as_json(), "role": role, "lag": lag, "docker_health": docker})  # type: ignore[arg-type]
    assert _state(told) == shown
