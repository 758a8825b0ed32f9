"""What apps read is what `mngdb env APP` prints."""

from __future__ import annotations

import json
import os
import stat

import pytest

from mngdb.errors import SecretError
from mngdb.ops import publish
from mngdb.ops.context import Context
from mngdb.ops.secrets_facts import secrets_facts
from mngdb.ops.variables import env
from mngdb.secret import Secret
from tests.checks import judge
from tests.conftest import Cli

_FILE = "name: t\nredis: {}\nmongodb: {outdated: true}\n"
_APPS = "apps: {shop: {redis: 's:*'}, chat-app: {redis: 'c:*', mongodb: chatdb}}\n"


def opened(cli: Cli, more: str) -> Context:
    cli.write(_FILE + more)
    context = judge.opened(cli)
    context.claim()
    return context


def test_published_is_what_env_prints_and_twice_is_nothing_to_do(cli: Cli) -> None:
    context = opened(cli, _APPS)
    context.make_secrets(context.missing_secrets())
    planned = list(publish.steps(context))
    assert [(one.action, one.object) for one in planned] == [
        ("create", "settings of shop"),
        ("create", "settings of chat-app"),
    ]
    assert publish.publish(context)
    for app in ("shop", "chat-app"):
        [path] = context.vault.documents([app])
        assert json.loads(path.read_text()) == env(context, app)
    assert "MONGO_URI" in context.vault.published(["chat-app"])["chat-app"]
    assert list(publish.steps(context)) == []


def test_a_changed_secret_is_published_for_its_app_alone_and_no_value_is_said(
    cli: Cli,
) -> None:
    context = opened(cli, _APPS)
    context.make_secrets(context.missing_secrets())
    publish.publish(context)
    context.vault.put({"redis_shop": Secret("another-secret-of-shop")})
    assert list(publish.steps(context, ["chat-app"])) == []
    [step] = publish.publish(context)
    assert (step.action, step.object) == ("change", "settings of shop")
    assert "REDIS_PASSWORD" in step.detail
    assert "another" not in step.detail
    assert "another-secret-of-shop" in context.vault.published(["shop"])["shop"]["REDIS_URL"]


def test_settings_of_an_app_that_left_the_file_are_removed(cli: Cli) -> None:
    publish.publish(opened(cli, _APPS))
    context = opened(cli, "apps: {shop: {redis: 's:*'}}\n")
    steps = [(one.action, one.object) for one in publish.publish(context)]
    assert ("drop", "settings of chat-app") in steps
    assert not any(path.exists() for path in context.vault.documents(["chat-app"]))
    assert list(publish.steps(opened(cli, "vault: environ\n" + _APPS))) == []


def test_a_group_reads_what_is_published_for_its_app_and_nothing_else(cli: Cli) -> None:
    group = os.getgid()
    apps = f"{_APPS}vault: {{files: {{readers: {{shop: '{group}'}}}}}}\n"
    context = opened(cli, _APPS)
    context.make_secrets(context.missing_secrets())
    publish.publish(context)
    context = opened(cli, apps)
    assert [one.object for one in publish.publish(context)] == ["settings of shop"]
    assert list(publish.steps(context)) == []
    context.vault.put({"redis_shop": Secret("another-secret-of-shop")})
    publish.publish(context)
    [shop, other] = context.vault.documents(["shop", "chat-app"])
    folder = shop.parent.parent.parent
    ways = [folder, shop.parent.parent, shop.parent, shop, other, folder / "redis_shop"]
    modes = [stat.S_IMODE(one.stat().st_mode) for one in ways]
    assert modes == [0o711, 0o711, 0o750, 0o640, 0o600, 0o600]
    assert {shop.stat().st_gid, shop.parent.stat().st_gid} == {group}
    assert not [one for one in secrets_facts(context).open_files if "settings" in one]
    context = opened(cli, _APPS)
    publish.publish(context)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (folder, shop.parent, shop)] == [
        *(0o700, 0o700, 0o600)
    ]


def test_a_group_that_there_is_not_is_told(cli: Cli) -> None:
    context = opened(cli, _APPS + "vault: {files: {readers: {shop: nobodys-group}}}\n")
    with pytest.raises(SecretError, match="no group nobodys-group"):
        publish.publish(context)
