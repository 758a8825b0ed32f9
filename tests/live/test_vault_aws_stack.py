"""A stack whose secrets are in AWS Secrets Manager: real servers, brought up and rotated."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from mngdb.client import Settings
from mngdb.ops.rotate.note import Entry, entries, keep
from tests.checks import judge
from tests.conftest import Cli
from tests.live.aws import running, server
from tests.live.followers import following, lets_in
from tests.secrets_server import SecretsServer

__all__ = ["running", "server"]
NAME = "chat-app/database"


def test_a_stack_whose_secrets_are_in_aws(cli: Cli, server: SecretsServer) -> None:
    cli.write(
        f"vault: {{aws: {{name: {NAME}, endpoint: '{server.url}'}}}}\n"
        "redis: {port: PORT1}\nagent: {ports: {mngdb: PORT2, redis: PORT3}}\n"
        "apps: {shop: {redis: 's:*'}}\n"
    )
    cli.env |= server.variables
    cli.env |= {"AWS_REGION": "us-east-1", "AWS_SECRET_NAME": "chat-app/other"}
    done = cli.run("up")
    assert done.returncode == 0, done.stderr
    assert "AWS_SECRET_NAME is chat-app/other, but the file says" in done.stderr
    assert cli.run("plan", "--exit-code").returncode == 0
    server.calls()
    password = cli.env_of("shop")["REDIS_PASSWORD"]
    assert server.calls() == ["GetSecretValue"]
    assert cli.json("env", "shop", "--for", "client") == {
        "USE_AWS_SECRETS": "true",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_NAME": f"{NAME}/shop",
        "AWS_SECRETS_FAIL_OPEN": "false",
    }
    assert judge.one(cli, "secrets.policy").verdict == "pass"
    every = {"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [every]})
    server.client().put_resource_policy(SecretId=NAME, ResourcePolicy=policy)
    assert judge.one(cli, "secrets.policy").evidence == f"{NAME}: anybody"
    assert judge.one(cli, "secrets.age").verdict == "pass"
    kept = json.loads(server.client().get_secret_value(SecretId=NAME)["SecretString"])
    assert kept["redis_shop"] == password
    assert not list(cli.state.glob("secrets/*_*"))
    cli.ok("secret", "set", "redis_shop", stdin="another-secret-of-forty-characters-12345")
    cli.ok("up")
    assert cli.run("doctor", "shop").returncode == 0
    server.fail("AccessDeniedException", 1000)
    for words in (["up"], ["env", "shop"]):
        done = cli.run(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "fail_open: false" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 3  # with the note about the variable
    (unit, _) = json.loads(cli.run("status", "--json").stdout)["units"]
    assert (unit["state"], unit["healthy"]) == ("running", False)
    assert "AWS does not permit" in unit["error"]
    # open, it goes on with what was read last
    server.fail("", 0)
    cli.env["AWS_SECRETS_FAIL_OPEN"] = "true"
    before = cli.env_of("shop")
    server.fail("AccessDeniedException", 1000)
    for words in (["env", "shop", "--json"], ["up"], ["plan", "--exit-code"]):
        done = cli.run(*words)
        assert done.returncode == 0, done.stderr
        assert "WARNING: AWS does not permit GetSecretValue" in done.stderr
    assert cli.env_of("shop") == before
    # also with the vault out of reach, servers are stopped and removed; their secrets stay in AWS
    assert cli.run("down").returncode == 0
    assert cli.run("destroy", "--yes", "mng").returncode == 0
    server.forget()


def test_a_rotation_whose_vault_is_in_aws_turns_no_app_away(
    cli: Cli, server: SecretsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.write(
        f"vault: {{aws: {{name: {NAME}, region: us-east-1, endpoint: '{server.url}'}}}}\n"
        "redis: {port: PORT1}\nagent: false\napps: {shop: {redis: 's:*'}}\n"
    )
    cli.env |= server.variables
    cli.ok("up")
    for name, text in {**server.variables, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, text)
    settings = Settings(cli.json("env", "shop", "--for", "client") | {"MNGDB_SETTINGS_AGE": "0"})
    before = settings["REDIS_PASSWORD"]
    server.calls()
    with following(settings.snapshot, {"redis": 2}) as tried:
        # less than the 30 s for which apps that ask AWS more rarely are waited for
        cli.ok("rotate", "shop", "--grace", "3s")
        assert server.calls().count("PutSecretValue") <= 5
    assert (tried.errors, tried.refused.total()) == ([], 0)
    assert tried.tried.total() > 10
    assert settings["REDIS_PASSWORD"] != before
    assert cli.run("plan", "--exit-code").returncode == 0


def test_an_old_copy_gives_no_server_other_passwords(cli: Cli, server: SecretsServer) -> None:
    cli.write(
        f"vault: {{aws: {{name: {NAME}, region: us-east-1, endpoint: '{server.url}', "
        "fail_open: true}}\nredis: {port: PORT1}\nagent: false\napps: {shop: {redis: 's:*'}}\n"
    )
    cli.env |= server.variables
    cli.ok("up")
    copy = cli.state / "vault-copy"
    old = copy.read_bytes()
    cli.ok("rotate", "shop", "--now")
    new, now = copy.read_bytes(), cli.env_of("shop")
    server.fail("ExpiredTokenException", 10_000)
    copy.write_bytes(old)
    for words in (["up"], ["restart"], ["plan"]):
        done = cli.run(*words)
        assert (done.returncode != 0, "the copy may be older" in done.stderr) == (True, True)
    assert lets_in("redis", now)
    # the right one is good for all but for another rotation, and for one that goes on
    copy.write_bytes(new)
    cli.ok("up")
    done = cli.run("rotate", "shop", "--now")
    assert (done.returncode, "vault cannot be asked" in done.stderr) == (2, True)
    assert not entries(cli.state)
    keep(cli.state, [Entry("redis_shop", "redis", "shop", "waiting", 1.0, 900.0, published=2.0)])
    assert cli.env_of("shop") == now
    cli.ok("status")
    assert "does not have both" in cli.run("up").stderr
    server.fail("", 0)
    cli.ok("rotate", "shop", "--now")
    cli.ok("up")


def test_a_rotation_of_more_apps_reads_no_more(cli: Cli, server: SecretsServer) -> None:
    names = [f"app{number}" for number in range(5)]
    rights = "".join(f"  {name}: {{redis: '{name}:*'}}\n" for name in names)
    cli.write(
        f"vault: {{aws: {{name: {NAME}, region: us-east-1, endpoint: '{server.url}'}}}}\n"
        f"redis: {{port: PORT1}}\nagent: false\napps:\n{rights}"
    )
    cli.env |= server.variables
    cli.ok("up")
    for chosen in (names[:1], names):
        server.calls()
        cli.ok("rotate", *chosen, "--now")
        calls = Counter(server.calls())
        # each version once in each of the three times that it is locked, and before each write
        assert calls["GetSecretValue"] <= 15, calls
        assert calls["BatchGetSecretValue"] == 1
        # the passwords, and what each app reads
        assert calls["DescribeSecret"] == 1 + len(chosen)
        assert calls["PutSecretValue"] <= 5 + len(chosen)
