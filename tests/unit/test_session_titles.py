"""Which processes of a PostgreSQL serve a client, by what they call themselves."""

from __future__ import annotations

import re

import pytest

from mngdb.spec.engine_info import POSTGRES


@pytest.mark.parametrize(
    ("title", "serves"),
    [
        ("postgres: mng-pg: shop shop 127.0.0.1(55342) idle", True),
        ("postgres: mng-pg: shop shop ::1(55342) SELECT waiting", True),
        ("postgres: shop shop [local] idle in transaction", True),
        ("postgres: mng-pg: checkpointer ", False),
        ("postgres: mng-pg: autovacuum worker shop", False),
        # smart shutdown does not wait for who reads its log
        ("postgres: mng-pg: walsender mngdb 127.0.0.1(4242) streaming 0/15A8E28", False),
        ("/usr/lib/postgresql/17/bin/postgres -D /data", False),
    ],
)
def test_a_session_is_told_from_the_servers_own_processes(title: str, serves: bool) -> None:
    assert bool(re.search(POSTGRES.session_title, title)) is serves
