"""A plan in short: a line for each server and app; what changes something is shown in full."""

from __future__ import annotations

from typing import Any, Never

import click
import pytest

from mngdb.cli.fold import alike, fold
from mngdb.model import SERVER, Action, Notice, Step
from tests.conftest import Cli

FILE = """
name: six
postgres: {version: 17, port: PORT1}
redis: {port: PORT2}
mongodb:
  port: PORT3
  databases: {chat: {indexes: {users: [{keys: {name: 1}}], rooms: [{keys: {name: 1}}]}}}
apps:
  grafana: {postgres: grafana, redis: "grafana:*"}
  keycloak: {postgres: keycloak}
  chat: {redis: "chat:*", mongodb: chat}
  shop: {postgres: {database: shop, extensions: [citext, pg_trgm]}, redis: "shop:*"}
  report: {postgres: {database: shop, access: readonly}}
  worker: {postgres: worker, redis: "jobs:*", mongodb: jobs}
"""
APPS = ("grafana", "keycloak", "chat", "shop", "report", "worker")


def step(action: Action, what: str, detail: str = "", **more: Any) -> Step[Never]:
    return Step("postgres", "postgres", action, what, detail, print, **more)


def shown(*steps: Step[Never], apps: tuple[str, ...] = ("shop", "crm")) -> list[str]:
    return [click.unstyle(line) for line in fold(steps, apps)]


def test_a_line_for_each_server_and_app_in_the_order_of_the_file(cli: Cli) -> None:
    cli.write(FILE)
    done = cli.run("plan")
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        *("+ postgres", "+ redis", "+ mongodb"),
        *(f"+ app {app}" for app in APPS),
    ]
    assert "create 2 secrets, role, database, 2 extensions, user, settings; 1 revoke" in lines[6]
    assert lines[7].endswith("create secret, role, settings; 1 grant")
    assert lines[5].endswith("create 2 secrets, 2 users, 2 indexes, settings")
    assert "'mngdb plan -v' lists each" in done.stderr
    # 24 lines of 80 columns, with what is said of each server
    assert len(lines) + len(done.stderr.splitlines()) < 24


def test_verbose_lists_each_step_without_the_log(cli: Cli) -> None:
    cli.write(FILE)
    steps = cli.json("plan")["steps"]
    done = cli.run("plan", "-v")
    assert len(done.stdout.splitlines()) == len(steps)
    assert "'mngdb plan -v'" not in done.stderr
    assert "Python" not in done.stderr
    assert "mngdb plan: mngdb " in cli.run("plan", "-vv").stderr


def test_what_destroys_costs_or_interrupts_is_shown_in_full() -> None:
    steps = [
        step("create", "secret postgres_shop", app="shop", kind="secret"),
        step("create", "role shop", app="shop", kind="role"),
        step("drop", "role crm", "its login", app="crm", kind="role", destructive=True),
        step("restart", "mng-pg", "shared_buffers", restart=True),
        step("create", "cluster", "M10", costs="60 $ a month"),
    ]
    assert shown(*steps) == [
        "~ postgres  restart mng-pg: shared_buffers",
        "+ postgres  create cluster: M10 [costs: 60 $ a month]",
        "+ app shop  create secret, role",
        "- postgres  drop role crm: its login [destructive]",
    ]


def test_changes_to_what_is_there_are_shown_and_those_to_what_is_new_counted() -> None:
    there = [
        step("revoke", "database crm", "shop: connect", app="shop", kind="database"),
        step("grant", "database pay", "shop: readonly", app="shop", kind="database"),
    ]
    assert shown(*there) == [
        "- postgres  revoke database crm: shop: connect",
        "+ postgres  grant database pay: shop: readonly",
    ]
    made = step("create", "role shop", app="shop", kind="role")
    assert shown(made, *there) == ["+ app shop  create role; 1 revoke; 1 grant"]
    server = step("create", "mng-pg", kind=SERVER)
    assert shown(server, *there) == [
        "+ postgres  create mng-pg: ",
        "~ app shop  1 revoke; 1 grant",
    ]


def test_many_changes_of_one_app_are_counted() -> None:
    steps = [
        step("grant", f"database d{number}", app="shop", kind="database") for number in range(9)
    ]
    assert shown(*steps) == ["~ app shop  9 grants"]


def test_a_name_is_shown_on_one_line() -> None:
    lines = shown(step("create", "x\n+ app forged"), step("create", "y\x1b[8m"))
    assert len(lines) == 1
    assert "\x1b" not in lines[0]
    assert "\n" not in lines[0]


@pytest.mark.parametrize("count", [1, 2, 40])
def test_what_is_said_of_several_is_said_once(count: int) -> None:
    every = [
        Notice("redis", f"the login a{number} has no app", f"drop a{number}", f"a{number}", "gone:")
        for number in range(count)
    ]
    other = Notice("redis", "memory is short")
    found = [*alike([*every, other])]
    assert found[-1] == other
    assert len(found) == 2
    text = {1: "the login a0 has no app", 2: "gone: a0, a1"}.get(count, "a29 and 10 more")
    assert found[0].text.endswith(text)
    assert found[0].hint == ("drop a0" if count == 1 else "drop a0; likewise the others")
