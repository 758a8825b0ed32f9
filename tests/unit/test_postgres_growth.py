"""What hundreds of apps cost, in calls of functions: their number is the same on a busy machine."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from msgspec.structs import replace

from mngdb.engines.postgres.facts import MARK, NEW, Database, Facts, Role, initial
from mngdb.engines.postgres.reconcile import reconcile
from mngdb.model import DesiredInstance, Program, Site
from mngdb.secret import generate
from tests.unit.spec import stack

_SITE = Site("/data", "/conf", "/run", "/log", 1 << 30, Program("/bin/x", "/bin", "17.1"), ("me",))


def wanted(count: int, site: Site | None) -> DesiredInstance:
    apps = "".join(f"  app{n}: {{postgres: db{n}}}\n" for n in range(count))
    where = "{}" if site else "{target: {external: {url: 'postgresql://admin@db.example'}}}"
    instance = stack(f"name: mng\npostgres: {where}\napps:\n{apps}").instances["postgres"]
    secrets = {name: generate() for name in ("admin", "monitor", *instance.grants)}
    return DesiredInstance("mng", instance, secrets, site)


def calls(asked: DesiredInstance, facts: Facts) -> int:
    """The functions of Python and C that it takes to compare the file with a server."""
    count = 0

    def counted(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counted)
    try:
        reconcile(asked, facts)
    finally:
        sys.setprofile(None)
    return count


def there(asked: DesiredInstance) -> Facts:
    """A server on which all of it is made."""
    facts = initial(asked)
    roles = {app: Role(f"{MARK}{asked.mark}") for app in asked.instance.grants}
    made = {f"db{n}": Database(app, frozenset(), NEW.inside) for n, app in enumerate(roles)}
    return replace(facts, roles=roles, databases={**facts.databases, **made})


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("site", [_SITE, None], ids=["managed", "external"])
def test_a_plan_of_many_apps_grows_linearly(site: Site | None, made: bool) -> None:
    few, many = (
        calls(asked, there(asked) if made else initial(asked))
        for asked in (wanted(25, site), wanted(100, site))
    )
    assert many < few * 4.4
