"""`mngdb shell redis` and `mngdb shell mongodb` where no client is installed: a terminal, a pipe,
one statement."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests import debian
from tests.conftest import Cli

pytestmark = pytest.mark.live

ARROW = r"127\.0\.0\.1:\d+(\[\d+\])?> "
#: The same in a database that was chosen.
THIRD = r"127\.0\.0\.1:\d+\[3\]> "


@pytest.fixture(scope="module")
def stack(module_cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A stack on a machine without clients, and a home that shows what is written there."""
    module_cli.env["PATH"] = str(tmp_path_factory.mktemp("bin"))
    module_cli.env["HOME"] = str(tmp_path_factory.mktemp("home"))
    module_cli.write(
        """
redis: {port: PORT1, memory: 64mb}
mongodb: {port: PORT2}
apps: {shop: {redis: "shop:*", mongodb: shop}}
"""
    )
    module_cli.ok("up")
    return module_cli


@pytest.fixture
def terminal(stack: Cli) -> Iterator[Any]:
    """Opens prompts, as at a terminal."""
    opened = []

    def shell(*arguments: str) -> Any:
        argv = stack.argv("shell", *arguments)
        env: Any = {**stack.environ(), "TERM": "dumb", "LANG": "C.UTF-8"}
        child = pexpect.spawn(
            argv[0],
            argv[1:],
            cwd=str(stack.folder),
            env=env,
            timeout=30,
            encoding="utf-8",
            dimensions=(50, 2000),  # what is typed is echoed on one line
        )
        opened.append(child)
        return child

    yield shell
    for child in opened:
        child.close(force=True)
    assert list(Path(stack.env["HOME"]).iterdir()) == []  # no history on the disk


def ask(child: Any, text: str, prompt: str) -> str:
    """Type a line; returns what is printed before the next prompt."""
    child.sendline(text)
    child.expect(prompt)
    printed = str(child.before).replace("\r\n", "\n").strip("\n")
    return printed.removeprefix(text).strip("\n")


def test_redis_at_a_terminal(stack: Cli, terminal: Any) -> None:
    child = terminal("redis", "shop")
    child.expect(ARROW)
    assert ask(child, "ACL WHOAMI", ARROW) == '"shop"'
    assert ask(child, 'SET shop:1 "x y"', ARROW) == "OK"
    assert ask(child, "GET other", ARROW).startswith("error: NOPERM")
    assert ask(child, 'GET "shop:1', ARROW).startswith("error: a quote is not closed")
    child.send("GET shop:1")
    child.expect_exact("GET shop:1")
    child.sendintr()  # the line, not the prompt
    child.expect(ARROW)
    child.sendline("BLPOP shop:none 0")
    child.sendintr()  # what it waits for, and not the prompt
    child.expect(ARROW)
    assert ask(child, "GET shop:1", ARROW) == '"x y"'
    child.sendline("SUBSCRIBE shop:news")
    child.expect_exact("3) (integer) 1")
    stack.ok("shell", "redis", "--app", "shop", "PUBLISH", "shop:news", "hello")
    child.expect_exact('3) "hello"')
    child.sendintr()
    child.expect(ARROW)
    child.sendeof()
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0


def test_one_command_of_redis_prints_no_value_as_it_is(stack: Cli, terminal: Any) -> None:
    value = "\x1b]0;title\x07\x1b[8mhidden\nforged"
    asked = ("shell", "redis", "--app", "shop")
    stack.ok(*asked, "SET", "shop:title", value)
    for words, printed in (
        (("GET", "shop:title"), r'"\x1b]0;title\a\x1b[8mhidden\nforged"'),
        (("LRANGE", "shop:title", "0", "1"), "(error) WRONGTYPE"),
        (("STRLEN", "shop:title"), "(integer) "),
        (("MGET", "shop:title", "shop:none"), "2) (nil)"),
    ):
        child = terminal("redis", "--app", "shop", "--", *words)
        child.expect(pexpect.EOF)
        assert printed in child.before
        assert "\x1b" not in child.before
    assert stack.ok(*asked, "GET", "shop:title") == f"{value}\n"  # in a pipe it is as in Redis
    stack.ok(*asked, "DEL", "shop:title")


def test_redis_remembers_the_database_over_a_lost_connection(terminal: Any) -> None:
    child = terminal("redis")
    child.expect(ARROW)
    ask(child, "SELECT 3", ARROW)
    assert ask(child, "SET here 1", THIRD) == "OK"
    assert ask(child, "CLIENT KILL TYPE normal SKIPME no", THIRD)
    printed = ask(child, "PING", THIRD)
    assert printed == "PONG" or "error: the connection" in printed
    assert ask(child, "GET here", THIRD) == '"1"'
    ask(child, "DEL here", THIRD)
    child.sendline("quit")
    child.expect(pexpect.EOF)


COMMANDS = [
    "RPUSH shop:l a b c d e f g h i j",
    "LRANGE shop:l 0 -1",
    "LRANGE shop:none 0 -1",
    "GET shop:none",
    'SET shop:b "\\x00\\xff\\n가\\"\\\\"',
    "GET shop:b",
    "ZADD shop:z 1.5 x",
    "EVAL \"return {1, {2, {'a', 'b'}, {}}, 'x'}\" 0",
    "INFO keyspace",
    "HELLO 3",
    "HSET shop:h a 1 b 2",
    "HGETALL shop:h",
    "ZSCORE shop:z x",
    "SMEMBERS shop:none",
]


def test_answers_of_redis_are_printed_as_redis_cli_prints_them(stack: Cli, terminal: Any) -> None:
    child = terminal("redis")
    child.expect(ARROW)
    ours = [ask(child, one, ARROW) for one in COMMANDS]
    password = (stack.state / "secrets/redis_admin").read_text().strip()
    cli = [str(debian.redis_folder() / "redis-cli"), "--no-raw", "--user", "admin"]
    stack.ok("shell", "redis", "DEL", "shop:l", "shop:b", "shop:z", "shop:h")
    done = subprocess.run(
        [*cli, "-p", str(stack.port(1))],
        env={**os.environ, "REDISCLI_AUTH": password},
        input="\n".join(COMMANDS),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = re.sub(r"(?m)\s+$", "", done.stdout)
    mine = re.sub(r"(?m)\s+$", "", "\n".join(ours))
    changing = r'("id" => \(integer\)) \d+|# Keyspace\n(?:db\d.*\n)*'
    assert re.sub(changing, r"\1", mine) == re.sub(changing, r"\1", theirs)


def test_mongodb_at_a_terminal(terminal: Any) -> None:
    child = terminal("mongodb", "--app", "shop")
    child.expect("shop> ")
    inserted = ask(child, "db.users.insertOne({name: '가', n: 1})", "shop> ")
    assert json.loads(inserted)["acknowledged"] is True
    child.sendline("db.users.findOne({")
    child.expect(r"\.\.\. ")
    assert json.loads(ask(child, "name: '가'}, {_id: 0})", "shop> ")) == {"name": "가", "n": 1}
    child.sendline("db.users.find({")
    child.expect(r"\.\.\. ")
    child.sendintr()
    child.expect("shop> ")
    many = f"db.users.insertMany([{', '.join(f'{{n: {n}}}' for n in range(30))}])"
    assert "insertedIds" in ask(child, many, "shop> ")
    page = ask(child, "db.users.find({name: null}, {_id: 0})", "shop> ").split("\n")
    assert (len(page), page[-1]) == (21, "it shows the next page")
    assert ask(child, "it", "shop> ").split("\n")[-1] == '{"n": 29}'
    assert ask(child, "show collections", "shop> ") == "users"
    assert ask(child, "use other", "other> ") == "switched to other"
    assert ask(child, "db.t.insertOne({})", "other> ").startswith("error: not authorized on other")
    assert ask(child, "drop everything", "other> ").startswith("error: only statements")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0


def test_statements_of_mongodb_through_a_pipe(stack: Cli) -> None:
    asked = ("shell", "mongodb", "--app", "shop")
    lines = "use shop\ndb.pipe.insertOne({\n  a: 1})\n\ndb.pipe.countDocuments()\n"
    done = stack.run(*asked, stdin=lines)
    assert (done.returncode, done.stdout.split("\n")[-2]) == (0, "1"), done.stderr
    done = stack.run(*asked, stdin="db.other.drop()\ndb.pipe.distinct('a')")
    assert (done.returncode, done.stdout) == (2, "1\n")
    assert "drop() is not understood" in done.stderr
    done = stack.run(*asked, stdin="db.runCommand({drop: 'x', nonsense: 1})\n")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert stack.run(*asked, stdin="db.pipe.find({").returncode == 2
    big = ",\n".join(f"{{n: {n}}}" for n in range(5000))
    assert stack.ok(
        *asked, stdin=f"db.big.insertMany([\n{big}\n]).pretty()\ndb.big.countDocuments()\n"
    ).endswith("5000\n")


def test_one_statement_of_mongodb(stack: Cli) -> None:
    asked = ("shell", "mongodb", "--app", "shop", "--")
    assert stack.ok(*asked, "db.one.countDocuments()") == "0\n"
    assert stack.ok(*asked, "db.runCommand({ping: 1})") == '{"ok": 1.0}\n'
    assert stack.run(*asked, "db.adminCommand({shutdown: 1})").returncode == 1
    assert stack.run(*asked, "db.one.find({").returncode == 2
    done = stack.run(*asked, "script.js")
    assert done.returncode == 2
    assert "no client for mongodb is installed" in done.stderr
