"""What `render iam` prints is enough, and no more: moto enforces it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mngdb.errors import SecretError
from mngdb.ops import publish
from mngdb.ops.iam import policies
from mngdb.secret import Secret
from mngdb.spec.vault import AwsSecrets
from mngdb.vaults.aws.vault import AwsVault, open_aws
from tests.checks.judge import opened
from tests.conftest import Cli
from tests.secrets_server import ACCOUNT, SecretsServer

NAME = "chat-app/database"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretsServer]:
    with SecretsServer(tmp_path_factory.mktemp("aws")).running() as found:
        yield found


def stack(cli: Cli, server: SecretsServer, more: str = "") -> None:
    cli.write(
        f"name: chat\nvault: {{aws: {{name: {NAME}, region: us-east-1, endpoint: '{server.url}'"
        f"{more}}}}}\nredis: {{}}\njwt: {{apps: [chat-app]}}\n"
        "apps: {chat-app: {redis: 'chat:*'}, other: {redis: 'o:*'}}\n"
    )
    cli.env |= server.variables


@contextmanager
def allowed(server: SecretsServer, who: str, policy: dict[str, Any]) -> Iterator[dict[str, str]]:
    """A login with this policy, which counts in the block."""
    iam = server.client("iam")
    iam.create_user(UserName=who)
    iam.put_user_policy(UserName=who, PolicyName=who, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=who)["AccessKey"]
    server.demand_rights()
    try:
        yield {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }
    finally:
        server.demand_rights(False)


def vault(server: SecretsServer, login: dict[str, str], **keys: Any) -> AwsVault:
    given = {"name": NAME, "region": "us-east-1", "endpoint": server.url} | keys
    environ = {name.upper(): value for name, value in login.items()}
    return open_aws(AwsSecrets.model_validate(given), "chat", None, environ, lambda _: None)


def test_an_app_reads_its_own_settings_and_nothing_else(cli: Cli, server: SecretsServer) -> None:
    server.forget()
    stack(cli, server)
    context = opened(cli)
    context.claim()
    context.make_secrets(context.missing_secrets())
    publish.publish(context)
    aws = server.client()
    aws.create_secret(Name=f"{NAME}/chat-app-2", SecretString="another's")
    found = policies(context, ACCOUNT)
    with allowed(server, "app", found["chat-app"]) as login:
        client = server.client(**login)
        for name in (f"{NAME}/chat-app", "chat-app/jwt-secrets"):
            assert json.loads(client.get_secret_value(SecretId=name)["SecretString"])
        refused: list[Callable[[], object]] = [
            *(
                lambda name=name: client.get_secret_value(SecretId=name)
                for name in (NAME, f"{NAME}/other", f"{NAME}/chat-app-2")
            ),
            lambda: client.put_secret_value(SecretId=f"{NAME}/chat-app", SecretString="{}"),
            lambda: client.list_secrets(),
            lambda: client.delete_secret(SecretId=f"{NAME}/chat-app"),
        ]
        for ask in refused:
            with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
                ask()
    # one that does not sign tokens has no key of them
    with allowed(server, "other", found["other"]) as login:
        client = server.client(**login)
        assert client.get_secret_value(SecretId=f"{NAME}/other")
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.get_secret_value(SecretId="chat-app/jwt-secrets")


@pytest.mark.parametrize("each", [False, True])
def test_an_operator_does_all_that_mngdb_does_and_nothing_outside(
    cli: Cli, server: SecretsServer, each: bool
) -> None:
    server.forget()
    stack(cli, server)
    policy = policies(opened(cli), ACCOUNT)["operators"]
    with allowed(server, f"operator-{each}", policy) as login:
        ours = vault(server, login, each=each)
        ours.put({"redis_chat-app": Secret("old"), "redis_other": Secret("other")})
        ours.put({"redis_chat-app": Secret("new")}, "pending")
        ours.promote(["redis_chat-app"])
        assert ours.get_many(["redis_chat-app"], "previous")["redis_chat-app"].secret == Secret(
            "old"
        )
        ours.delete(["redis_chat-app"], ["previous"])
        assert ours.exposed(["redis_chat-app"], ["chat-app"]) == []
        ours.delete(["redis_other"])
        for _ in range(2):
            ours.publish("chat-app", {"A": "1"})
            ours.publish("jwt-secrets", {"current": "1"})
            assert ours.published(["chat-app", "jwt-secrets"])["chat-app"] == {"A": "1"}
            ours.unpublish("chat-app")
        with pytest.raises(SecretError, match="does not permit"):
            vault(server, login, name="shop/database").get_many(["redis_shop"])


def test_it_is_printed_for_each_and_names_the_account_and_the_key(
    cli: Cli, server: SecretsServer
) -> None:
    stack(cli, server, ", kms_key: alias/secrets")
    found = cli.json("render", "iam", "--account", ACCOUNT)
    assert list(found) == ["chat-app", "other", "operators"]
    alone = cli.json("render", "iam", "chat-app", "--account", ACCOUNT)
    assert alone == found["chat-app"]
    read, key = alone["Statement"]
    assert read["Action"] == ["secretsmanager:GetSecretValue"]
    assert read["Resource"][0] == (
        f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{NAME}/chat-app-??????"
    )
    assert key["Action"] == ["kms:Decrypt"]
    assert key["Condition"]["ForAnyValue:StringEquals"] == {"kms:ResourceAliases": "alias/secrets"}
    cli.ok("render", "iam", "--account", ACCOUNT, "--output", "policies")
    written = json.loads((cli.folder / "policies" / "operators.json").read_text())
    assert written == found["operators"]
    for words in (("--account", "12"), ("nobody",)):
        assert cli.run("render", "iam", *words).returncode == 2
    cli.write("redis: {}\n")
    done = cli.run("render", "iam")
    assert (done.returncode, "not in AWS" in done.stderr) == (2, True)
