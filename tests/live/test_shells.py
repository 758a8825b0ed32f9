"""`mngdb shell`: the engine's own client, logged in, with no secret in its arguments (A6)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests import debian
from tests.conftest import Cli

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


def test_arguments_after_two_dashes_go_to_the_client(stack: Cli) -> None:
    done = stack.run("shell", "redis", "--app", "shop", "--", "SET", "shop:1", "x")
    assert (done.returncode, done.stdout.strip()) == (0, "OK"), done.stderr


def test_a_client_that_is_missing_is_named_with_what_to_install(stack: Cli) -> None:
    done = stack.run("shell", "mongodb")
    assert done.returncode == 2
    assert "mongosh" in done.stderr
    assert "install" in done.stderr
