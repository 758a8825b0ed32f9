"""Missing indexes, tried on the planner by hypopg before anybody makes them."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests import hypopg
from tests.conftest import Cli

pytestmark = [pytest.mark.live, pytest.mark.postgres]
ROWS = 40_000
_RIGHT = "{database: shop, extensions: [hypopg]}"


def file(right: str) -> str:
    return (
        "postgres: {port: PORT1, memory: 64mb}\n"
        f"binaries: {{postgres: {hypopg.folder()}}}\n"
        f"apps: {{shop: {{postgres: {right}}}}}\n"
    )


@pytest.fixture(scope="module")
def staged(module_cli: Cli) -> Cli:
    """A load of which some would gain by an index, and some not."""
    module_cli.write(file("shop"))
    module_cli.ok("up")
    env = module_cli.env_of("shop")
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as pg:
        pg.execute('CREATE SCHEMA "Odd"')
        pg.execute('CREATE TABLE "Odd"."Item" (id int PRIMARY KEY, owner int, kind int, note text)')
        pg.execute(
            'INSERT INTO "Odd"."Item" SELECT g, g % 4000, 7, g::text FROM '
            f"generate_series(1, {ROWS}) g"
        )
        pg.execute('ANALYZE "Odd"."Item"')
        for owner in range(20):
            pg.execute('SELECT * FROM "Odd"."Item" WHERE owner = %s AND kind = %s', [owner, 7])
            pg.execute('SELECT count(*), max(note) FROM "Odd"."Item" WHERE kind = %s', [owner])
            pg.execute('SELECT 1 FROM "Odd"."Item" WHERE lower(note) = %s', [str(owner)])
        pg.execute("SELECT pg_stat_force_next_flush()")
    return module_cli


def asked(cli: Cli) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Columns of what is missing to the advice; the notes."""
    document = cli.json("indexes")
    (one,) = document["instances"]
    return {a["index"]: a for a in one["indexes"] if a["kind"] == "missing"}, document["notes"]


def own_indexes(cli: Cli) -> list[Any]:
    with psycopg.connect(cli.env_of("shop")["POSTGRES_URL"]) as pg:
        return pg.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'Item'").fetchall()


def test_without_it_the_statistics_speak_and_the_way_to_it_is_told(staged: Cli) -> None:
    found, notes = asked(staged)
    # what a function stands around is found by no index on the column
    assert set(found) == {"owner, kind", "kind"}
    assert found["owner, kind"]["planner_before"] is None
    assert "postgresql-17-hypopg" in notes["postgres"]
    assert "extensions: [hypopg]" in notes["postgres"]


def test_the_planner_tries_it_and_nothing_is_created(staged: Cli) -> None:
    staged.write(file(_RIGHT))
    staged.ok("up")
    before = own_indexes(staged)
    found, notes = asked(staged)
    # the owner finds ten rows, the kind all of them: it adds nothing, and alone it is of no use
    assert set(found) == {"owner"}
    assert notes == {}
    one = found["owner"]
    assert one["table"] == '"Odd"."Item"'
    assert one["planner_before"] > 10 * one["planner_after"] > 0
    assert one["statement"] == 'CREATE INDEX CONCURRENTLY ON "Odd"."Item" ("owner")'
    assert 100_000 < one["size"] < 4_000_000
    assert own_indexes(staged) == before
    text = staged.ok("indexes")
    assert f"the planner's cost is {one['planner_before']:,.0f}" in text
    slow = {s["text"]: s["why"] for s in staged.json("slow")["statements"]}
    (why,) = [w for text, w in slow.items() if "owner = $1" in text]
    assert "(hypopg)" in why[1]
    (why,) = [w for text, w in slow.items() if "max(note)" in text]
    assert why[1] == "an index on kind would not help (hypopg)"
    assert not any("hypo" in text or "reltuples" in text or "timeout" in text for text in slow)


def test_a_made_index_is_as_good_as_it_was_said_and_no_longer_missing(staged: Cli) -> None:
    found, _ = asked(staged)
    with psycopg.connect(staged.env_of("shop")["POSTGRES_URL"], autocommit=True) as pg:
        pg.execute(found["owner"]["statement"])
        plan = pg.execute(
            "EXPLAIN (GENERIC_PLAN, FORMAT JSON) "
            'SELECT * FROM "Odd"."Item" WHERE owner = $1 AND kind = $2'
        ).fetchone()
        size = pg.execute("""SELECT pg_relation_size('"Odd"."Item_owner_idx"')""").fetchone()
    assert plan is not None
    assert size is not None
    real = plan[0][0]["Plan"]["Total Cost"]
    assert real == pytest.approx(found["owner"]["planner_after"], rel=0.3)
    assert size[0] == pytest.approx(found["owner"]["size"], rel=0.7)
    assert asked(staged)[0] == {}


def test_a_program_without_it_fails_the_drill(staged: Cli) -> None:
    staged.ok("backup")
    staged.write("\n".join(line for line in file("shop").splitlines() if "binaries" not in line))
    done = staged.run("--json", "drill")
    (drill,) = json.loads(done.stdout)["drills"]
    assert (done.returncode, drill["verdict"]) == (1, "fail")
    (one,) = [one for one in drill["checks"] if one["verdict"] == "fail"]
    assert (one["name"], "hypopg" in one["detail"]) == ("database shop", True)
    staged.write(file(_RIGHT))
    assert staged.json("drill")["drills"][0]["verdict"] == "pass"
