"""100 apps get new passwords, which nobody is refused for, against a script that sets 100 passwords
one after the other, whoever is logged in by the old ones.

Five seconds of each rotation are for apps that have read the old password just before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.common import Row, call, python, seconds, stack

_HEADS = {
    "postgres": "postgres: {port: PORT1}\n",
    "redis": "redis: {port: PORT2}\n",
    "mongodb": "mongodb: {port: PORT3, outdated: true}\n",
}
_RIGHTS = {"postgres": "app{n}", "redis": '"app{n}:*"', "mongodb": "app{n}"}
_APPS, _MOST = 100, 30.0
_SCRIPTS = {
    "postgres": """
import os, psycopg
with psycopg.connect(os.environ["POSTGRES"], autocommit=True) as connection:
    for n in range(100):
        connection.execute(f"ALTER ROLE app{n} PASSWORD 'peer-secret-{n}'")
""",
    "redis": """
import os, redis
client = redis.Redis.from_url(os.environ["REDIS"])
for n in range(100):
    client.execute_command("ACL", "SETUSER", f"app{n}", "resetpass", f">peer-secret-{n}")
client.close()
""",
    "mongodb": """
import os, pymongo
client = pymongo.MongoClient(os.environ["MONGODB"])
for n in range(100):
    client.admin.command("updateUser", f"app{n}", pwd=f"peer-secret-{n}",
                         mechanisms=["SCRAM-SHA-256"])
client.close()
""",
}


def rows() -> Iterator[Row]:
    """A row for each engine, and one for all of them together."""
    for engine in _HEADS:
        yield _row([engine])
    yield _row([*_HEADS])


def _row(engines: list[str]) -> Row:
    head = "agent: false\n" + "".join(_HEADS[engine] for engine in engines)
    lines = []
    for n in range(_APPS):
        rights = ", ".join(f"{engine}: {_RIGHTS[engine].format(n=n)}" for engine in engines)
        lines.append(f"  app{n}: {{{rights}}}\n")
    with stack(f"{head}apps:\n{''.join(lines)}") as cli:
        cli.ok("up", timeout=900)
        ours = seconds(lambda: cli.ok("rotate", "--all"))
        if json.loads(cli.ok("--json", "plan"))["steps"]:
            raise RuntimeError("the plan after a rotation is not empty")
        cli.env |= {engine.upper(): cli.ok("url", engine).strip() for engine in engines}
        scripts = "\n".join(_SCRIPTS[engine] for engine in engines)
        peer = seconds(lambda: call(python(scripts), cli))
        what = f"{_APPS} apps on {' and '.join(engines)}: `rotate --all`"
        return Row(what, ours, peer, "script that sets them", f"≤ {_MOST:g} s", ours <= _MOST)
