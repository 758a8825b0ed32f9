"""`mngdb shell`: the engine's own client, logged in, with no secret in its arguments (A6)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests import debian
from tests.checks.judge import one, opened
from tests.conftest import Cli
from tests.live.postgres import sql

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    redis = os.path.relpath(debian.redis_folder(), module_cli.folder.resolve())
    module_cli.write(
        f"""
postgres: {{port: PORT1}}
redis: {{port: PORT2, version: 7}}
mongodb: {{port: PORT3}}
binaries: {{redis: {redis}}}
apps: {{shop: {{postgres: shop, redis: "shop:*", mongodb: shop}}}}
"""
    )
    module_cli.ok("up")
    return module_cli


def shell(cli: Cli, *arguments: str) -> Any:
    argv = cli.argv("shell", *arguments)
    env: Any = {**cli.environ(), "PAGER": "cat", "TERM": "dumb"}
    return pexpect.spawn(
        argv[0], argv[1:], cwd=str(cli.folder), env=env, timeout=120, encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("arguments", "prompt", "question", "answer"),
    [
        (("redis",), r"> ", "ACL WHOAMI", "admin"),
        (("redis", "--app", "shop"), r"> ", "ACL WHOAMI", "shop"),
        (("postgres",), r"=# ", "SELECT 'I am ' || current_user;", "I am postgres"),
        (("postgres", "--app", "shop"), r"=> ", "SELECT 'I am ' || current_user;", "I am shop"),
        (("postgres", "shop"), r"=> ", "SELECT 'I am ' || current_user;", "I am shop"),
    ],
)
def test_the_shell_is_logged_in_and_shows_no_secret(
    stack: Cli, arguments: tuple[str, ...], prompt: str, question: str, answer: str
) -> None:
    child = shell(stack, *arguments)
    try:
        child.expect(prompt)
        argv = Path(f"/proc/{child.pid}/cmdline").read_text()
        secrets = [p.read_text() for p in (stack.state / "secrets").iterdir() if p.is_file()]
        assert secrets != []
        assert [secret for secret in secrets if secret in argv] == []
        child.sendline(question)
        child.expect(re.escape(answer) + r'"?\s')
    finally:
        child.close(force=True)


def test_the_administrator_is_told_at_a_terminal(stack: Cli) -> None:
    for arguments, told in ((("postgres",), True), (("postgres", "shop"), False)):
        child = shell(stack, *arguments)
        try:
            child.expect("=[#>] ")
            assert ("note: this is the administrator" in child.before) is told
        finally:
            child.close(force=True)


def test_names_without_a_schema_are_told_before_psql_refuses_them(stack: Cli) -> None:
    child = shell(stack, "postgres", "--", "-d", "shop", "-c", "TABLE item")
    try:
        child.expect('relation "item" does not exist')
        assert "note: search_path is empty: write names with their schema" in child.before
    finally:
        child.close(force=True)


def test_a_bare_statement_is_run_by_psql(stack: Cli) -> None:
    for words, user in (((), "postgres"), (("shop",), "shop")):
        done = stack.run("shell", "postgres", *words, "select current_user", "-At", stdin="")
        assert (done.returncode, done.stdout) == (0, f"{user}\n"), done.stderr


#: What an app makes of its database: whoever calls now() there, or compares "char" as \\d does,
#: leaves his name.
TRAPS = (
    "CREATE SCHEMA evil",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    "CREATE TABLE evil.caught (who text)",
    "CREATE FUNCTION evil.now() RETURNS text AS $$"
    "INSERT INTO evil.caught VALUES (current_user) RETURNING who$$ LANGUAGE sql",
    'CREATE FUNCTION evil.same("char", "char") RETURNS bool AS $$'
    "INSERT INTO evil.caught VALUES (current_user) RETURNING true$$ LANGUAGE sql",
    'CREATE OPERATOR evil.= (LEFTARG = "char", RIGHTARG = "char", FUNCTION = evil.same)',
    "CREATE FUNCTION public.same(varchar, varchar) RETURNS bool AS $$"
    "INSERT INTO evil.caught VALUES (current_user) RETURNING true$$ LANGUAGE sql",
    "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.same)",
    "CREATE TABLE public.item (name varchar)",
    "INSERT INTO public.item VALUES ('one')",
    "ALTER DATABASE shop SET search_path = evil, pg_catalog, public",
    "ALTER DATABASE shop SET statement_timeout = 1",
)


def test_a_database_runs_nothing_of_an_app_as_the_administrator(stack: Cli) -> None:
    sql(stack, *TRAPS, app="shop")
    named = "SELECT count(*) FROM public.item WHERE name = 'one'"
    tries = [("-d", "shop", "-c", text) for text in (r"\dt public.*", "SELECT now()", named)]
    for words, lines in [(words, "") for words in tries] + [((), "\\c shop\nSELECT now();\n")]:
        done = stack.run("shell", "postgres", "--", "-v", "ON_ERROR_STOP=1", *words, stdin=lines)
        assert (done.returncode, done.stderr) == (0, "")
    sql(stack, "ALTER DATABASE shop RESET statement_timeout", database="postgres")
    caught = "SELECT DISTINCT who FROM evil.caught"
    assert sql(stack, caught, database="shop") == []
    trapped = Cli(stack.folder, {"PGOPTIONS": "-c search_path=evil,pg_catalog,public"})
    for words in tries:  # each of them is one
        trapped.ok("shell", "postgres", "--", *words)
        assert sql(stack, caught, database="shop") == [("postgres",)]
        sql(stack, "TRUNCATE evil.caught", database="shop")
    found = one(stack, "postgres.search-path")
    assert (found.verdict, found.severity) == ("fail", "high")
    assert "shop: evil, pg_catalog, public" in stack.run("doctor").stdout
    stack.ok("shell", "postgres", "shop", "SELECT now()")  # as itself it has its own path
    assert sql(stack, caught, database="shop") == [("shop",)]
    sql(stack, "ALTER DATABASE shop RESET ALL", database="postgres")
    assert one(stack, "postgres.search-path").verdict == "pass"


def test_what_a_person_sets_wins_in_the_administrators_client(stack: Cli) -> None:
    path = Cli(stack.folder, {"PGOPTIONS": "-c search_path=public"})
    asked = ("shell", "postgres", "--", "-At", "-c", "SHOW search_path")
    assert (stack.ok(*asked), path.ok(*asked)) == ("\n", "public\n")


@pytest.mark.parametrize("words", [
    ("postgres", "shp", "select 1"), ("postgres", "nobody", "select 1"), ("postgres", "shp"),
    ("redis", "shp", "get", "x"), ("redis", "shp"), ("mongodb", "shp", "show dbs"),
])  # fmt: skip
def test_a_mistyped_app_is_told_and_nothing_runs(stack: Cli, words: tuple[str, ...]) -> None:
    done = stack.run("shell", *words, stdin="")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no app named '{words[1]}'" in done.stderr
    assert ("did you mean 'shop'?" in done.stderr) is (words[1] == "shp")


def test_every_command_of_the_server_is_known_for_one(stack: Cli) -> None:
    context = opened(stack)
    asked = context.as_login(context.instance("redis"), "admin")
    known = context.engine(asked.instance).shell(context.public(asked, None), None).verbs
    with context.engine(asked.instance).connect(context.login(asked, None), 5.0) as session:
        listed = [name.lower() for name in session.ask("COMMAND", "LIST")]
    every = {name for name in listed if re.fullmatch(r"\w[\w-]*", name)}
    assert len(every) > 200
    assert every - known == set()


def test_arguments_after_two_dashes_go_to_the_client(stack: Cli) -> None:
    done = stack.run("shell", "redis", "--app", "shop", "--", "SET", "shop:1", "x")
    assert (done.returncode, done.stdout.strip()) == (0, "OK"), done.stderr


@pytest.fixture
def silent_clients(stack: Cli, tmp_path: Path) -> Cli:
    """The stack where redis-cli and iredis are installed, and do nothing without a terminal."""
    for name in ("redis-cli", "iredis"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / name).chmod(0o755)
    return Cli(stack.folder, {"PATH": f"{tmp_path}:{os.environ['PATH']}"})


def test_a_command_is_run_whatever_client_is_installed(silent_clients: Cli) -> None:
    asked = ("shell", "redis", "--app", "shop")
    done = silent_clients.run(*asked, "SET", "shop:2", "x y", stdin="")
    assert (done.returncode, done.stdout.strip()) == (0, "OK"), done.stderr
    done = silent_clients.run(*asked, stdin="APPEND shop:2 z\n\nGET 'shop:2'\n")
    assert (done.returncode, done.stdout.split("\n")) == (0, ["4", "x yz", ""]), done.stderr
    done = silent_clients.run(*asked, stdin='GET "shop:2\n')
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard input: a quote is not closed")


def test_a_refused_command_exits_with_1(silent_clients: Cli) -> None:
    asked = ("shell", "redis", "--app", "shop")
    for words, lines in ((("SET", "other", "x"), ""), ((), "SET other x\nGET shop:1\n")):
        done = silent_clients.run(*asked, *words, stdin=lines)
        assert done.returncode == 1
        assert "NOPERM" in done.stdout


def test_an_answer_that_is_nested_too_deeply_is_a_sentence(silent_clients: Cli) -> None:
    script = "local t = {1} for i = 1, 1500 do t = {t} end return t"
    done = silent_clients.run("shell", "redis", "EVAL", script, "0", stdin="")
    assert (done.returncode, "answer cannot be read: " in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


def test_a_subscription_prints_until_it_is_interrupted(stack: Cli) -> None:
    argv = stack.argv("shell", "redis", "--app", "shop", "SUBSCRIBE", "shop:news")
    with subprocess.Popen(
        argv, cwd=stack.folder, env=stack.environ(), stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(3)]
        stack.ok("shell", "redis", "--app", "shop", "PUBLISH", "shop:news", "hello")
        lines += [child.stdout.readline() for _ in range(3)]
        assert lines[-1] == "hello\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
