"""Names of databases that look like SQL, like hba lines, like formats: taken whole or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Cli
from tests.live.clients import planned, problems
from tests.live.postgres import pg, sql, value

pytestmark = pytest.mark.live

TAKEN = [
    'quo"te',
    '"',
    "single'quote",
    "semi; DROP DATABASE postgres; --",
    "$dollar$ $$",
    "-- comment",
    "back\\slash",
    "per%cent %s %I %(x)s",
    "comma,list",
    "# hash",
    "with space",
    "{} {0} {braces}",
    "UPPER and lower",
    "데이터베이스",
    "é" * 31 + "x",
    "x" * 63,
    "a@b/c:d?e=f&g#h",
    "-c log_statement=all",
    "ALL",
]
REFUSED = {
    "": "1 to 63 bytes",
    "x" * 64: "1 to 63 bytes",
    "é" * 32: "1 to 63 bytes",
    "nul\0byte": "",
    "new\nline": "unprintable",
    "tab\t": "unprintable",
    " space": "cannot be the name",
    "all": "pg_hba.conf",
    "replication": "pg_hba.conf",
    "sameuser": "pg_hba.conf",
    "/regex": "pg_hba.conf",
    "@file": "pg_hba.conf",
    "+group": "pg_hba.conf",
    "template1": "cannot be the name",
}


def write(cli: Cli, names: list[str]) -> None:
    """A stack in which each name is the database of an owner, and of a reader."""
    apps: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        apps[f"own{number}"] = {"postgres": name}
        apps[f"see{number}"] = {"postgres": {"database": name, "access": "readonly"}}
    server = {"port": cli.port(1), "memory": "128mb"}
    file = {"name": "mng", "postgres": server, "apps": apps, "agent": False}
    # $$ is how the file writes a plain $
    (cli.folder / "mngdb.yaml").write_text(json.dumps(file).replace("$", "$$"))


@pytest.fixture(scope="module")
def cli(module_cli: Cli) -> Cli:
    write(module_cli, TAKEN)
    module_cli.ok("up")
    return module_cli


@pytest.mark.parametrize("number", range(len(TAKEN)), ids=lambda n: ascii(TAKEN[n])[:30])
def test_a_strange_name_works_end_to_end(cli: Cli, number: int) -> None:
    owner, reader = f"own{number}", f"see{number}"
    with pg(cli, owner) as connection:
        assert connection.info.dbname == TAKEN[number]
        connection.execute("CREATE TABLE t (id int)")
        connection.execute('CREATE SCHEMA "odd \' % $$ ""schema"')
        connection.execute('CREATE TABLE "odd \' % $$ ""schema".t (id int)')
    with pg(cli, reader) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        connection.execute('SELECT * FROM "odd \' % $$ ""schema".t')


def test_nothing_but_the_names_was_made_and_the_second_plan_is_empty(cli: Cli) -> None:
    names = {name for (name,) in sql(cli, "SELECT datname FROM pg_database")}
    assert names == {*TAKEN, "postgres", "template0", "template1"}
    assert value(cli, "SHOW log_statement") == "none"
    assert sql(cli, "SELECT 1 FROM pg_hba_file_rules WHERE error IS NOT NULL") == []
    assert planned(cli) == []


def test_rights_in_strange_databases_and_schemas_are_mended(cli: Cli) -> None:
    odd = TAKEN[7]
    number = TAKEN.index(odd)
    sql(
        cli,
        'CREATE SCHEMA "%s %I \' \\ $q$"',
        'CREATE TABLE "%s %I \' \\ $q$".t (id int)',
        f'GRANT INSERT ON "%s %I \' \\ $q$".t TO see{number}',
        app=f"own{number}",
    )
    assert [action for action, _ in planned(cli)] == ["revoke"]
    cli.ok("up")
    assert planned(cli) == []


def test_doctor_and_env_know_the_strange_names(cli: Cli) -> None:
    number = TAKEN.index("back\\slash")
    assert problems(cli, f"own{number}") == {"postgres": None}
    assert cli.env_of(f"own{number}")["POSTGRES_DATABASE"] == "back\\slash"


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: ascii(name)[:30])
def test_a_name_that_cannot_be_kept_apart_is_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    fresh = Cli(tmp_path_factory.mktemp("refused"))
    write(fresh, [name])
    done = fresh.run("up")
    assert done.returncode == 2
    assert REFUSED[name] in done.stderr
    assert "Traceback" not in done.stderr
    assert not (fresh.state).exists()
