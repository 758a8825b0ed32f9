"""Prints which metrics of public dashboards the agent serves, from a stack of its own."""

from __future__ import annotations

import sys

from tests.live import dashboards
from tests.live.scrapes import AGENT, ENGINES, UP, until, whole

from benchmarks.common import call, python, stack

#: An index, a statement and a collection to tell of.
_FILL = """
import os, psycopg, pymongo
with psycopg.connect(os.environ["POSTGRES_URL"], autocommit=True) as connection:
    connection.execute("CREATE TABLE item (id int PRIMARY KEY)")
client = pymongo.MongoClient(os.environ["MONGO_URI"])
client.get_default_database().users.insert_one({"name": "ada"})
client.close()
"""


def main() -> int:
    """Returns 1 where a name is neither served nor has its reason."""
    with stack(ENGINES + AGENT) as cli:
        cli.ok("up")
        cli.env.update(cli.env_of("shop"))
        call(python(_FILL), cli)
        # what is dear is asked less often: it was asked when there was no table yet
        until(lambda: "pg_stat_user_tables_n_tup_upd" in whole(cli, "postgres").names)
        pages = [whole(cli, engine) for _ in range(2) for engine in UP]
        served = frozenset(name for page in pages for name in page.names)
    print(dashboards.table(served))
    shares = {
        engine: dashboards.line(engine, dashboards.of_engine(engine), served).share
        for engine in dashboards.ASKED
    }
    return int(any(shares[engine] < asked for engine, asked in dashboards.ASKED.items()))


if __name__ == "__main__":
    sys.exit(main())
