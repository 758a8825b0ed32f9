"""Keys for JSON Web Tokens: made, published, replaced, withdrawn."""

from __future__ import annotations

import json
import os
import time

import pytest

from mngdb.errors import UsageError
from mngdb.ops import jwt, publish
from mngdb.ops.context import Context
from mngdb.ops.variables import env
from mngdb.secret import Secret
from tests.checks import judge
from tests.conftest import Cli

_APPS = "apps: {shop: {redis: 's:*'}, api: {redis: 'a:*'}}\nredis: {}\n"


def opened(cli: Cli, keys: str = "{apps: [api], rotate: 30d, keep: 24h}") -> Context:
    cli.write(f"{_APPS}jwt: {keys}\n")
    context = judge.opened(cli)
    context.claim()
    context.make_secrets(context.missing_secrets())
    publish.publish(context)
    return context


def aged(context: Context, name: str, hours: float) -> None:
    """Let it have been put so long ago."""
    when = time.time() - hours * 3600
    os.utime(context.vault.where(name), (when, when))
    context.vault.forget()


def test_keys_are_made_for_the_apps_that_sign_and_no_others(cli: Cli) -> None:
    context = opened(cli)
    assert len(env(context, "api")["JWT_CURRENT"]) == 40
    assert "JWT_CURRENT" not in env(context, "shop")
    [path] = context.vault.documents(["jwt-secrets"])
    assert json.loads(path.read_text()) == {"current": env(context, "api")["JWT_CURRENT"]}
    assert list(publish.steps(context)) == []


def test_the_current_key_becomes_the_previous_one(cli: Cli) -> None:
    context = opened(cli)
    old = env(context, "api")["JWT_CURRENT"]
    done = jwt.rotate(context)
    assert done.apps == ("api", "jwt-secrets")
    found = context.vault.published(["api", "jwt-secrets"])
    assert found["api"]["JWT_PREVIOUS"] == old != found["api"]["JWT_CURRENT"]
    assert found["jwt-secrets"] == {
        "current": found["api"]["JWT_CURRENT"],
        "previous": old,
    }


def test_a_previous_key_that_is_still_needed_is_not_dropped(cli: Cli) -> None:
    context = opened(cli)
    jwt.rotate(context)
    kept = env(context, "api")
    with pytest.raises(UsageError, match="still needed"):
        jwt.rotate(context)
    assert env(context, "api") == kept
    jwt.rotate(context, force=True)
    assert env(context, "api")["JWT_PREVIOUS"] == kept["JWT_CURRENT"]


def test_an_interrupted_rotation_is_done_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    context = opened(cli)
    old = env(context, "api")["JWT_CURRENT"]
    context.vault.put({"jwt_previous": Secret(old)})  # the first of two writes
    jwt.rotate(context)
    assert env(context, "api")["JWT_PREVIOUS"] == old


def test_the_schedule_rotates_and_withdraws(cli: Cli) -> None:
    context = opened(cli)
    assert not jwt.due(context)
    assert jwt.tend(context) is None
    aged(context, "jwt_current", 24 * 30 + 1)
    first = jwt.tend(context)
    assert first is not None
    assert first.until is not None
    assert "JWT_PREVIOUS" in env(context, "api")
    aged(context, "jwt_current", 25)
    # no longer printed at once, and removed from the vault by the next round
    assert "JWT_PREVIOUS" not in env(context, "api")
    second = jwt.tend(context)
    assert second is not None
    assert second.until is None
    assert context.vault.get("jwt_previous") is None
    assert "JWT_PREVIOUS" not in context.vault.published(["api"])["api"]
    assert not jwt.due(context)


def test_a_schedule_of_zero_is_a_persons(cli: Cli) -> None:
    context = opened(cli, "{apps: [api], rotate: 0s}")
    aged(context, "jwt_current", 24 * 365)
    assert not jwt.due(context)


def test_a_file_without_keys_says_so(cli: Cli) -> None:
    cli.write(_APPS)
    done = cli.run("secrets", "rotate", "jwt")
    assert done.returncode == 2
    assert "the file has no 'jwt:'" in done.stderr


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("{apps: [apo]}", "no app named 'apo'"),
        ("{apps: [api], rotate: 12h}", "has to be more than keep"),
    ],
)
def test_keys_that_make_no_sense_are_refused(cli: Cli, keys: str, said: str) -> None:
    cli.write(f"{_APPS}jwt: {keys}\n")
    done = cli.run("plan")
    assert done.returncode == 2
    assert said in done.stderr
