"""The guide's variables say where secrets are, as far as the file does not."""

from __future__ import annotations

import json

import pytest

from mngdb.errors import UsageError
from mngdb.spec.vault import Vault, contradictions, document_name, settled
from mngdb.vaults.aws.policy import let_in

GUIDE = {
    "USE_AWS_SECRETS": "true",
    "AWS_REGION": "us-east-1",
    "AWS_SECRET_NAME": "chat-app/database",
    "AWS_SECRETS_FAIL_OPEN": "true",
}


def test_a_file_that_says_nothing_leaves_all_to_the_environment() -> None:
    aws = settled(Vault(), GUIDE).aws
    assert aws is not None
    assert (aws.name, aws.region, aws.fail_open) == ("chat-app/database", "us-east-1", True)
    assert list(contradictions(Vault(), GUIDE)) == []
    assert settled(Vault(), {}).kind == "files"
    assert settled(Vault(), GUIDE | {"USE_AWS_SECRETS": "false"}).kind == "files"


def test_the_file_wins_and_each_contradiction_is_told() -> None:
    own = {"name": "a/b", "region": "eu-west-1", "fail_open": False}
    vault = Vault.model_validate({"aws": own})
    aws = settled(vault, GUIDE).aws
    assert aws is not None
    assert (aws.name, aws.region, aws.fail_open) == ("a/b", "eu-west-1", False)
    assert [text.split(" is ")[0] for text in contradictions(vault, GUIDE)] == [
        "AWS_SECRET_NAME",
        "AWS_REGION",
        "AWS_SECRETS_FAIL_OPEN",
    ]
    files = Vault.model_validate("files")
    assert settled(files, GUIDE) is files
    [told] = contradictions(files, GUIDE)
    assert "USE_AWS_SECRETS is true, but the file says 'vault: files'" in told
    [told] = contradictions(vault, {"USE_AWS_SECRETS": "no"})
    assert "USE_AWS_SECRETS is false" in told


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"USE_AWS_SECRETS": "perhaps"}, "USE_AWS_SECRETS has to be true or false"),
        ({"USE_AWS_SECRETS": "1"}, "has no name"),
        (GUIDE | {"AWS_SECRETS_FAIL_OPEN": "maybe"}, "AWS_SECRETS_FAIL_OPEN has to be"),
        (GUIDE | {"AWS_SECRET_NAME": "two words"}, "AWS_SECRET_NAME"),
        (GUIDE | {"AWS_REGION": "Frankfurt"}, "AWS_REGION"),
    ],
)
def test_variables_that_make_no_sense_are_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        settled(Vault(), environ)
    assert "\n" not in caught.value.message


def test_the_guides_names() -> None:
    assert document_name("chat-app/database", "chat-app") == "chat-app/database/chat-app"
    assert document_name("chat-app/database", "jwt-secrets") == "chat-app/jwt-secrets"
    assert document_name("chat", "jwt-secrets") == "chat/jwt-secrets"


ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:chat-app/database-aBcDeF"


@pytest.mark.parametrize(
    ("principal", "action", "who"),
    [
        ("*", "secretsmanager:GetSecretValue", ["anybody"]),
        ({"AWS": "*"}, ["secretsmanager:*"], ["anybody"]),
        ({"AWS": ["arn:aws:iam::210987654321:role/x", ARN]}, "*", ["account 210987654321"]),
        ({"AWS": "210987654321"}, "secretsmanager:GetSecretValue", ["account 210987654321"]),
        ({"AWS": "arn:aws:iam::123456789012:root"}, "secretsmanager:*", []),
        ({"Service": "lambda.amazonaws.com"}, "secretsmanager:*", []),
        ("*", "secretsmanager:DescribeSecret", []),
    ],
)
def test_whom_a_policy_lets_in(principal: object, action: object, who: list[str]) -> None:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"}
    denied = {**statement, "Effect": "Deny"}
    assert list(let_in(json.dumps({"Statement": [statement, denied]}), ARN)) == who
    assert list(let_in(json.dumps({"Statement": denied}), ARN)) == []
