"""`init --from init_users_dbs.sql`: a script that the official image would run becomes a file. No
test here needs a server."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mngdb.engines.postgres.init_sql import read
from mngdb.errors import UsageError
from mngdb.facts.found import FoundApp, FoundServer
from mngdb.identity.locate import locate
from mngdb.ops.adopt import (
    _own_name,
    describe,
    name_here,
    refuse_existing,
    refuse_missing,
    sources,
    with_passwords,
    write,
)
from mngdb.ops.adopt_text import Part, written
from mngdb.ops.context import Context
from mngdb.ops.secrets import Put, put
from mngdb.spec.load import load

SCRIPT = r"""
-- users; of the management database
CREATE USER grafana WITH PASSWORD 'graf;a''s-secret';
CREATE DATABASE grafana OWNER grafana;
CREATE USER keycloak WITH ENCRYPTED PASSWORD 'keycloak-secret';
CREATE DATABASE keycloak;
GRANT ALL PRIVILEGES ON DATABASE keycloak TO keycloak;
SELECT 'CREATE DATABASE shop OWNER shop'
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'shop')\gexec
CREATE ROLE shop LOGIN PASSWORD 'shop-secret' CREATEDB;
CREATE ROLE reader LOGIN; ALTER ROLE reader PASSWORD 'reader-secret';
CREATE ROLE "Clerk 2" LOGIN PASSWORD 'clerk-secret';
\c shop
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
GRANT CONNECT ON DATABASE shop TO reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
GRANT INSERT ON orders TO reader;
DO $$ BEGIN CREATE USER x PASSWORD 'do-secret'; END $$;
/* groups */ CREATE ROLE readers; GRANT readers TO reader;
CREATE USER boss SUPERUSER PASSWORD 'boss-secret';
"""


def test_users_databases_and_rights_are_read_and_passwords_are_not_written(
    tmp_path: Path,
) -> None:
    script, path = tmp_path / "init.sql", tmp_path / "mngdb.yaml"
    script.write_text(SCRIPT)
    environ = {"MNGDB_STATE_HOME": str(tmp_path / "home")}
    found = describe(path, "mng", [], [script], "local", environ)
    assert not path.exists()
    assert write(found, environ) == {}
    text = path.read_text()
    assert "secret" not in text
    assert yaml.safe_load(text)["apps"] == {
        "grafana": {"postgres": "grafana"},
        "keycloak": {"postgres": "keycloak"},
        "reader": {"postgres": {"database": "shop", "access": "readonly"}},
        "shop": {"postgres": {"database": "shop", "extensions": ["uuid-ossp"]}},
    }
    stack = load([path], {}, None)
    assert not stack.instances["postgres"].adopt
    for word in ("CREATEDB", "GRANT INSERT ON orders", "DO '…'", "Clerk 2", "boss", "readers"):
        assert word in text
    assert {name: one.reveal() for name, one in found.file.passwords.items()} == {
        "postgres_grafana": "graf;a's-secret",
        "postgres_keycloak": "keycloak-secret",
        "postgres_shop": "shop-secret",
        "postgres_reader": "reader-secret",
    }


def test_a_kill_before_all_passwords_are_kept_leaves_what_the_same_command_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, path = tmp_path / "init.sql", tmp_path / "mngdb.yaml"
    script.write_text(SCRIPT)
    environ = {"MNGDB_STATE_HOME": str(tmp_path / "home")}
    kept: list[str] = []

    def killed(context: Context, name: str, value: str) -> Put:
        if kept:
            raise KeyboardInterrupt
        kept.append(name)
        return put(context, name, value)

    monkeypatch.setattr("mngdb.ops.adopt.put", killed)
    found = describe(path, "mng", [], [script], "local", environ)
    with pytest.raises(KeyboardInterrupt):
        write(found, environ, keep=True)
    assert not path.exists()
    monkeypatch.undo()
    again = describe(path, name_here(path, "mng", environ), [], [script], "local", environ)
    assert write(again, environ, keep=True) == {}
    vault = Context.open(load([path], environ), environ).vault
    stored = vault.get_many(again.file.passwords)
    assert {n: one.usable() for n, one in stored.items()} == again.file.passwords


def test_a_file_whose_directory_is_missing_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a directory"):
        refuse_existing(tmp_path / "missing" / "mngdb.yaml")


def test_logins_that_are_comments_are_counted_by_their_whole_names() -> None:
    apps = (FoundApp("a:x", {"keys": "x:*"}, ("a note",)), FoundApp("a:y", {"keys": "y:*"}))
    found = FoundServer(apps=(*apps, FoundApp("gone", None, ("it is disabled",))))
    assert written("mng", [Part("redis", "redis://admin@db", found)], "").described == 3


@pytest.mark.parametrize("text", ["", "CREATE TABLE x ();", "-- CREATE USER x;", "'", "$$", "\\c"])
def test_a_script_that_makes_no_user_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no CREATE USER"):
        read(text)


def test_several_servers_of_an_engine_have_names_of_their_own() -> None:
    given = ["redis://a@one", "rediss://b@two:1", "mongodb+srv://c@three/?x=y", "postgres://four"]
    found = sources(given, typed=True)
    assert [one.name for one in found] == ["redis", "redis2", "mongodb", "postgres"]
    assert [one.login for one in found] == ["a", "b", "c", ""]


def test_a_password_in_a_url_is_taken_from_a_file_only_and_never_shown() -> None:
    url = "redis://admin:p%40ss@cache.example:6379/0"
    with pytest.raises(UsageError, match="contains a password") as error:
        sources([url], typed=True)
    assert "p%40ss" not in f"{error.value.message}{error.value.hint}"
    with pytest.raises(UsageError, match="among its options") as error:
        sources(["postgres://boss@db.example/x?sslmode=require&password=p%40ss"], typed=False)
    assert "p%40ss" not in f"{error.value.message}{error.value.hint}"
    (found,) = sources([url], typed=False)
    assert found.url == "redis://admin@cache.example:6379/0"
    assert found.password is not None
    assert found.password.reveal() == "p@ss"


def test_who_is_asked_is_named_and_the_environment_goes_first() -> None:
    asked: list[str] = []

    def ask(text: str) -> str:
        asked.append(text)
        return "typed"

    given = ["postgres://boss@db.example", "redis://admin@cache.example", "mongodb://open.example"]
    environ = {"MNGDB_SECRET_REDIS_ADMIN": "given"}
    found = [*with_passwords(sources(given, typed=True), ask, environ)]
    assert asked == ["PostgreSQL: password of boss at db.example"]
    assert [one.password and one.password.reveal() for one in found] == ["typed", "given", None]


@pytest.mark.parametrize(
    ("folder", "asked", "marks", "name"),
    [
        ("My Shop", "mng", {"mng/0a1b2c3d"}, "my-shop"),
        ("mng", "mng", {"mng", "mng2/0a1b2c3d"}, "mng3"),
        ("123", "mng", {"mng"}, "mng2"),
        ("shop", "mng", {"other"}, "mng"),
        ("shop", "mine", {"mine"}, "mine"),
    ],
)
def test_a_name_that_another_stack_has_on_the_server_is_not_taken(
    tmp_path: Path, folder: str, asked: str, marks: set[str], name: str
) -> None:
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "mngdb.yaml"
    part = Part("redis", "redis://admin@db", FoundServer(marks=frozenset(marks)))
    assert _own_name(asked, path, [part], {"MNGDB_STATE_HOME": str(tmp_path / "home")}) == name


def test_a_line_of_standard_input_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        sources(["redis://admin:x@db", "a-password"], typed=False)
    assert "a-password" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("again", ["redis://other@DB:6379/0", "redis://db:6379"])
def test_a_server_is_given_once(again: str) -> None:
    with pytest.raises(UsageError, match="given twice"):
        sources(["redis://admin@db:6379", again], typed=True)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("localhost:6379", "redis://USER@localhost:6379"),
        ("db.example:5432/shop", "postgresql://USER@db.example:5432/shop"),
        ("init.sql", "SQL files"),
    ],
)
def test_a_word_that_is_no_file_is_told_what_it_could_be(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        refuse_missing([Path(text)])
    assert hint in str(caught.value.hint)


def test_a_folder_keeps_the_name_of_its_stack(tmp_path: Path) -> None:
    path, environ = tmp_path / "mngdb.yaml", {"MNGDB_STATE_HOME": str(tmp_path / "home")}
    assert name_here(path, "mng", environ) == "mng"
    locate("shop", (path,), environ).claim()
    assert name_here(path, "mng", environ) == "shop"
    assert name_here(path, "shop", environ) == "shop"
    with pytest.raises(UsageError, match="'shop'"):
        name_here(path, "other", environ)


@pytest.mark.parametrize(
    "literal",
    [r"E'p\'part'", r"E'p\'; part'", r"U&'d\0061part'", "$x$p;part$x$", "'part", "'p''part'"],
)
def test_no_part_of_a_literal_is_told_whatever_its_form(literal: str) -> None:
    text = (
        f"CREATE USER a PASSWORD 'x'; CREATE DATABASE a OWNER a; ALTER USER b PASSWORD {literal};"
    )
    (note,) = read(text).notes
    assert "ALTER USER b" in note
    assert "part" not in note


@pytest.mark.parametrize("copy", ["COPY public.t (a, b) FROM stdin;", r"\copy t from pstdin"])
@pytest.mark.parametrize("end", ["\n\\.\n", "\r\n\\.\r\n"])
def test_rows_of_a_dump_are_no_sql(copy: str, end: str) -> None:
    rows = "1\tit's\n; CREATE ROLE bad LOGIN PASSWORD 'x'; GRANT ALL ON DATABASE a TO bad;\n"
    text = (
        "CREATE ROLE a LOGIN PASSWORD 'x'; CREATE DATABASE a OWNER a;\n"
        f"{copy}\n{rows}\\.x part{end}CREATE ROLE b LOGIN; INSERT INTO t VALUES (4711);"
    )
    found = read(text)
    assert [one.name for one in found.apps] == ["a", "b"]
    assert not any(word in str(found.notes) for word in ("part", "it's", "bad", "4711"))
    assert len(found.notes) == 2


def test_rows_without_an_end_are_the_rest() -> None:
    assert len(read("CREATE ROLE a LOGIN; COPY t FROM STDIN;\n; CREATE ROLE b LOGIN;").apps) == 1
