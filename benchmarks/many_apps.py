"""500 apps: the objects of each engine against a script that only creates them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.common import Row, call, python, seconds, stack

_HEADS = {
    "postgres": "postgres: {port: PORT1}\n",
    "redis": "redis: {port: PORT1}\n",
    "mongodb": "mongodb: {port: PORT1}\n",
}
_RIGHT = {"postgres": "app{n}", "redis": '"app{n}:*"', "mongodb": "app{n}"}
#: The statements alone, without looking, comparing or checking, one after the other.
_SCRIPTS = {
    "postgres": """
import os, sys, psycopg
with psycopg.connect(os.environ["ADMIN_URL"], autocommit=True) as connection:
    for n in range(500):
        connection.execute(f"CREATE ROLE peer{n} LOGIN PASSWORD 'peer-secret-{n}'")
        connection.execute(f"CREATE DATABASE peer{n} OWNER peer{n}")
        connection.execute(f"REVOKE ALL ON DATABASE peer{n} FROM PUBLIC")
""",
    "redis": """
import os, redis
client = redis.Redis.from_url(os.environ["ADMIN_URL"])
for n in range(500):
    client.execute_command("ACL", "SETUSER", f"peer{n}", "on", f">peer-secret-{n}", f"~peer{n}:*",
                           "+@all", "-@dangerous")
client.close()
""",
    "mongodb": """
import os, pymongo
client = pymongo.MongoClient(os.environ["ADMIN_URL"])
for n in range(500):
    client.admin.command("createUser", f"peer{n}", pwd=f"peer-secret-{n}",
                         roles=[{"role": "readWrite", "db": f"peer{n}"}],
                         mechanisms=["SCRAM-SHA-256"])
client.close()
""",
}


def rows() -> Iterator[Row]:
    """A row for creating and one for looking again, for each engine."""
    for engine, head in _HEADS.items():
        apps = "".join(
            f"  app{n}: {{{engine}: {_RIGHT[engine].format(n=n)}}}\n" for n in range(500)
        )
        with stack(head) as cli:
            cli.ok("up")
            cli.env["ADMIN_URL"] = cli.ok("url", engine).strip()
            peer = seconds(lambda: call(python(_SCRIPTS[engine]), cli))  # noqa: B023
            cli.write(head + "apps:\n" + apps)
            created = seconds(lambda: cli.ok("up", timeout=600))
            again = seconds(lambda: cli.ok("plan", "--exit-code", timeout=600))
            units = json.loads(cli.ok("status", "--json"))["units"]
            if not all(unit["healthy"] for unit in units):
                raise RuntimeError(f"not healthy: {units}")
        label = "script that only creates them"
        yield Row(f"500 apps on {engine}: `up`", created, peer, label, "≤ 10 s", created <= 10)
        yield Row(f"500 apps on {engine}: `plan` again", again, None, "", "linear", True)
