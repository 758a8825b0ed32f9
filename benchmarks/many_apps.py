"""500 apps: the objects of each engine against a script that only creates them.

Databases of 500 apps are PostgreSQL's own time: it writes 7 MB for each. The script creates half of
its own before `up` and half after it, so that what else the machine does falls on both.
"""

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
_SHARED = "{database: shared, access: readwrite}"
#: How much longer than the script `up` may take where the server's own work is nearly all of it;
#: elsewhere seconds are asked for.
_MOST = 1.15
#: The statements alone, without looking, comparing or checking, one after the other.
_SCRIPTS = {
    "postgres": """
import os, sys, psycopg
with psycopg.connect(os.environ["ADMIN_URL"], autocommit=True) as connection:
    for n in range(*map(int, sys.argv[1:])):
        connection.execute(f"CREATE ROLE peer{n} LOGIN PASSWORD 'peer-secret-{n}'")
        connection.execute(f"CREATE DATABASE peer{n} OWNER peer{n}")
        connection.execute(f"REVOKE ALL ON DATABASE peer{n} FROM PUBLIC")
""",
    "redis": """
import os, sys, redis
client = redis.Redis.from_url(os.environ["ADMIN_URL"])
for n in range(*map(int, sys.argv[1:])):
    client.execute_command("ACL", "SETUSER", f"peer{n}", "on", f">peer-secret-{n}", f"~peer{n}:*",
                           "+@all", "-@dangerous")
client.close()
""",
    "mongodb": """
import os, sys, pymongo
client = pymongo.MongoClient(os.environ["ADMIN_URL"])
for n in range(*map(int, sys.argv[1:])):
    client.admin.command("createUser", f"peer{n}", pwd=f"peer-secret-{n}",
                         roles=[{"role": "readWrite", "db": f"peer{n}"}],
                         mechanisms=["SCRAM-SHA-256"])
client.close()
""",
}


def rows() -> Iterator[Row]:
    """A row for creating and one for looking again, for each engine."""
    for engine, head in _HEADS.items():
        own = engine == "postgres"
        rights = [_RIGHT[engine].format(n=n) for n in range(500)]
        what = "500 apps with a PostgreSQL database each" if own else f"500 apps on {engine}"
        yield from _rows(what, engine, head, rights, _SCRIPTS[engine], compared=own)
    rights = ["shared", *[_SHARED] * 499]
    script = "\n".join(line for line in _SCRIPTS["postgres"].splitlines() if "DATABASE" not in line)
    head = _HEADS["postgres"]
    yield from _rows("500 apps in one database", "postgres", head, rights, script)


def _rows(
    what: str, engine: str, head: str, rights: list[str], script: str, *, compared: bool = False
) -> Iterator[Row]:
    """`compared`: the script's time is the measure, not the clock."""
    apps = "".join(f"  app{n}: {{{engine}: {right}}}\n" for n, right in enumerate(rights))
    with stack(head) as cli:
        cli.ok("up")
        cli.env["ADMIN_URL"] = cli.ok("url", engine).strip()
        peer = seconds(lambda: call(python(script, "0", "250"), cli))
        cli.write(head + "apps:\n" + apps)
        created = seconds(lambda: cli.ok("up", timeout=900))
        peer += seconds(lambda: call(python(script, "250", "500"), cli))
        again = seconds(lambda: cli.ok("plan", "--exit-code", timeout=600))
        units = json.loads(cli.ok("status", "--json"))["units"]
        if not all(unit["healthy"] for unit in units):
            raise RuntimeError(f"not healthy: {units}")
        asked = f"≤ {_MOST}×" if compared else "≤ 10 s"
        met = created <= _MOST * peer if compared else created <= 10
        yield Row(f"{what}: `up`", created, peer, "script that only creates them", asked, met)
    yield Row(f"{what}: `plan` again", again, None, "", "linear", True)
