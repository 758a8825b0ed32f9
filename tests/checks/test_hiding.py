"""What an owner does to keep its database or its functions out of the looks of `check` is seen."""

from __future__ import annotations

import pytest

from mngdb.findings import Finding
from tests.checks.judge import findings
from tests.conftest import Cli
from tests.live.postgres import sql

pytestmark = [pytest.mark.live, pytest.mark.postgres]

_FILE = """
name: mng
postgres: {port: PORT1, memory: 128mb}
apps: {evil: {postgres: {database: evil, extensions: [hstore]}}}
"""
_LOOSE = "CREATE FUNCTION public.loose() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    module_cli.write(_FILE)
    module_cli.ok("up")
    sql(module_cli, _LOOSE, app="evil")
    return module_cli


def _path(cli: Cli) -> Finding:
    return findings(cli)["postgres.definer-path"]


def test_a_database_that_its_owner_calls_a_template_is_looked_into(cli: Cli) -> None:
    assert "evil: public.loose()" in _path(cli).evidence
    sql(cli, "ALTER DATABASE evil IS_TEMPLATE true", app="evil")
    try:
        assert "evil: public.loose()" in _path(cli).evidence
    finally:
        sql(cli, "ALTER DATABASE evil IS_TEMPLATE false")


def test_a_database_that_its_owner_closed_is_unknown_and_not_fine(cli: Cli) -> None:
    closing = "ALTER DATABASE evil ALLOW_CONNECTIONS false"
    sql(cli, closing, app="evil", database="postgres")
    try:
        found = _path(cli)
        assert found.verdict == "unknown"
        opens = 'ALTER DATABASE "evil" ALLOW_CONNECTIONS true'
        assert f"evil: it accepts no connections: {opens}" in found.evidence
    finally:
        cli.ok("up")
    assert "evil: public.loose()" in _path(cli).evidence


def test_a_database_that_an_app_created_and_closed_is_opened_again(cli: Cli) -> None:
    cli.write(_FILE.replace("extensions:", "create_databases: true, extensions:"))
    cli.ok("up")
    sql(cli, "CREATE DATABASE evil_y", "ALTER DATABASE evil_y ALLOW_CONNECTIONS false", app="evil")
    mending = [one for one in cli.json("plan")["steps"] if one["object"] == "database evil_y"]
    assert "accept connections again" in {one["detail"] for one in mending}
    cli.ok("up")
    assert cli.json("plan")["steps"] == []


def test_a_function_that_an_owner_put_into_an_extension_is_looked_at(cli: Cli) -> None:
    sql(
        cli,
        "CREATE EXTENSION citext SCHEMA public",
        "ALTER EXTENSION citext ADD FUNCTION public.loose()",
        app="evil",
    )
    try:
        assert "evil: public.loose()" in _path(cli).evidence
    finally:
        sql(cli, "ALTER EXTENSION citext DROP FUNCTION public.loose()", app="evil")
