"""Django's test runner makes databases of its own and leaves those of the file alone."""

from __future__ import annotations

import pytest

from tests.clients.languages import python, python_version
from tests.clients.record import record
from tests.conftest import Cli

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.postgres]

FILE = """
name: mng
agent: false
postgres: {port: PORT1, memory: 64mb}
apps: {shop: {postgres: {database: shop, create_databases: true}}}
"""


def test_django_runs_its_tests_in_a_database_of_their_own(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    env = cli.json("env", "shop", "--for", "django")
    for step in ("migrate", "test", "keep", "keep", "read"):
        python("django_work", env, step, packages="drivers")
    cli.ok("up")  # what was kept is the app's, and closed to others
    assert cli.json("plan")["steps"] == []
    python("django_work", env, "keep", packages="drivers")
    did = "`manage.py test` with a connection pool, also `--keepdb`, by `create_databases: true`"
    record("Django", python_version("Django", "drivers"), "postgres", did)
