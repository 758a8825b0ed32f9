"""Warm commands against a plain script that asks the same three servers with the same drivers."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.cold_up import FILE
from benchmarks.common import Row, call, median, python, seconds, stack

#: What a person would write instead of `mngdb status`: three drivers, one query each.
SCRIPT = """
import json, os
import psycopg, pymongo, redis
env = json.loads(os.environ["APP_ENV"])
with psycopg.connect(env["POSTGRES_URL"]) as connection:
    connection.execute("SELECT version()").fetchone()
client = redis.Redis.from_url(env["REDIS_URL"]); client.info(); client.close()
mongo = pymongo.MongoClient(env["MONGO_URI"]); mongo.admin.command("buildInfo"); mongo.close()
"""


def rows(rounds: int = 9) -> Iterator[Row]:
    """Rows for --help, --version, status and a warm up."""
    with stack(FILE) as cli:
        cli.ok("up")
        cli.env["APP_ENV"] = json.dumps(cli.env_of("shop"))
        peer, click, warm, status, helped, version = [], [], [], [], [], []
        for _ in range(rounds):
            peer.append(seconds(lambda: call(python(SCRIPT), cli)))
            warm.append(seconds(lambda: call(cli.argv("up"), cli)))
            status.append(seconds(lambda: call(cli.argv("status"), cli)))
            click.append(seconds(lambda: call(python("import click"), cli)))
            helped.append(seconds(lambda: call(cli.argv("--help"), cli)))
            version.append(seconds(lambda: call(cli.argv("--version"), cli)))
    name, bare = "script with the three drivers", "python -c 'import click'"
    for what, samples, other, label, limit in (
        ("warm `up`, nothing to do", warm, peer, name, 0.5),
        ("`status`", status, peer, name, 0.4),
        ("`--help`", helped, click, bare, 0.15),
        ("`--version`", version, click, bare, 0.15),
    ):
        yield Row(
            what, median(samples), median(other), label, f"≤ {limit} s", median(samples) <= limit
        )
