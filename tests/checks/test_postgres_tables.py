"""`check` of a PostgreSQL with tens of thousands of tables: bounded time, and everything judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checks.judge import findings
from tests.checks.postgres_server import PASSWORD, Server, stock
from tests.conftest import EVERYTHING, Cli

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]
#: Thousands of tables; and the two that something is wrong with.
_THOUSANDS = 100 if EVERYTHING else 25
_PUBLIC, _UNLOGGED = f"t{_THOUSANDS // 2}_500", f"t{_THOUSANDS - 1}_1000"
_THOUSAND = (
    "DO $$ BEGIN FOR i IN 1..1000 LOOP "
    "EXECUTE format('CREATE TABLE t{n}_%s (id int)', i); END LOOP; END $$"
)


@pytest.fixture(scope="module")
def crowded() -> Iterator[Server]:
    with stock() as server:
        server.sql("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        server.sql("CREATE DATABASE shop")
        server.sql(*(_THOUSAND.replace("{n}", str(n)) for n in range(_THOUSANDS)), database="shop")
        server.sql(
            f"GRANT SELECT ON {_PUBLIC} TO PUBLIC", f"ALTER TABLE {_UNLOGGED} SET UNLOGGED",
            database="shop",
        )  # fmt: skip
        yield server


def test_it_takes_bounded_time_and_all_of_it_is_judged(crowded: Server, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    url = f"postgresql://postgres@127.0.0.1:{crowded.port}/postgres"
    cli.write(f'postgres: {{target: {{external: {{url: "{url}"}}}}}}\n')
    cli.ok("secret", "set", "postgres_admin", stdin=PASSWORD)
    begun = time.monotonic()
    found = findings(cli)
    assert time.monotonic() - begun < 120
    assert not [one.id for one in found.values() if one.verdict == "unknown"]
    # the one among them that everybody may read, and the one that a crash empties
    assert found["postgres.public-tables"].verdict == "fail"
    assert f"public.{_PUBLIC}" in found["postgres.public-tables"].evidence
    assert f"public.{_UNLOGGED}" in found["postgres.table-logged"].evidence
