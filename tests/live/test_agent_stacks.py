"""The agent of a stack with TLS, of one that `up` is at work on, and of one whose databases go."""

from __future__ import annotations

import json
import os
import signal

import psycopg
import pytest

from tests.conftest import Cli
from tests.debian import redis_folder
from tests.live.clients import said
from tests.live.scrapes import (
    AGENT,
    halted,
    in_time,
    pid_of,
    scrape,
    until,
    whole,
)

pytestmark = [pytest.mark.live, pytest.mark.slow]
ONE = "postgres: {port: PORT1, memory: 64mb}\napps: {shop: {postgres: shop}}\n"


def test_what_up_has_started_is_not_told_as_down(cli: Cli) -> None:
    cli.write("redis: {port: PORT2, memory: 16mb}\nalerts: {every: 1h}\n" + AGENT)
    cli.ok("up")

    def down() -> list[str]:
        return [one["name"] for one in json.loads(cli.run("--json", "alerts").stdout)["alerts"]]

    cli.ok("down", "redis")
    os.kill(pid_of(cli, "mng-agent"), signal.SIGCONT)
    until(lambda: "RedisDown" in down())
    cli.ok("up")
    until(lambda: "RedisDown" not in down())


def test_servers_with_tls_are_read_and_their_certificates_counted(cli: Cli) -> None:
    """With Debian's Redis, which is version 7."""
    binaries = f"binaries: {{redis: {redis_folder()}}}\nredis: {{port: PORT2, version: 7}}\n"
    cli.write("tls: true\n" + ONE + binaries + AGENT)
    cli.ok("up")
    whole(cli, "postgres")
    assert len(whole(cli, "redis").names) > 120
    left = scrape(cli, "mngdb").of("mngdb_certificate_expiry_seconds", instance="postgres")
    assert 820 * 86400 < left <= 825 * 86400
    kept = []
    for _ in range(5):
        whole(cli, "redis")
        with halted(pid_of(cli, "mng-redis")):
            kept.append(in_time(cli, "redis"))  # on the session that was kept
            until(lambda: in_time(cli, "redis") < 5)  # on a greeting of TLS
        if kept[-1] < 5:  # else the machine does much else
            break
    assert min(kept) < 5


def test_reading_metrics_keeps_nobody_from_dropping_a_database(cli: Cli) -> None:
    cli.write(ONE + AGENT)
    cli.ok("up")
    shop = ("datname", "shop")
    until(lambda: any(shop in labels for _, labels in whole(cli, "postgres").values))
    with psycopg.connect(cli.ok("url", "postgres").strip(), autocommit=True) as connection:
        connection.execute("drop database shop")
    # what statements cost is not read at every scrape
    until(lambda: not any(shop in labels for _, labels in whole(cli, "postgres").values))
    cli.write(ONE.replace("postgres: shop", "postgres: other") + AGENT)
    cli.ok("up")
    cli.write(ONE + AGENT)
    assert ("revoke", "role monitor") in said(cli.json("up")["steps"])
    connects = "select datname from pg_database where datacl::text like '%monitor=c%'"
    with psycopg.connect(cli.ok("url", "postgres").strip()) as connection:
        assert {name for (name,) in connection.execute(connects)} == {"postgres", "shop"}
