"""`render iam`: policies for AWS, with the least that an app or an operator of this stack needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mngdb.errors import UsageError
from mngdb.ops.context import Context
from mngdb.spec.vault import JWT, AwsSecrets, document_name, settled

OPERATORS = "operators"
_READ = ["secretsmanager:GetSecretValue"]
_WRITE = [
    *("secretsmanager:CreateSecret", "secretsmanager:DeleteSecret"),
    *("secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy"),
    "secretsmanager:GetSecretValue",
    *("secretsmanager:PutSecretValue", "secretsmanager:RestoreSecret"),
    "secretsmanager:TagResource",
]
#: AWS puts a hyphen and six characters behind a secret's name.
_SUFFIX = "-??????"


def policies(context: Context, account: str | None = None) -> dict[str, dict[str, Any]]:
    """App (and `operators`) to its policy: an app reads what is published for it, an operator reads
    and writes all of the stack's. `account` is AWS's number of the account; None: that of whoever
    the policy is attached to. Raises UsageError where the vault is not in AWS."""
    aws = settled(context.stack.source.vault, context.environ).aws
    if aws is None or aws.name is None:
        raise UsageError(
            "the stack's secrets are not in AWS", "vault: {aws: {name: chat-app/database}}"
        )
    if account is not None and not re.fullmatch("[0-9]{12}", account):
        raise UsageError(f"{account[:20]!r} is not the number of an AWS account: 12 digits")
    if aws.region is None:
        raise UsageError("no AWS region is set", "vault: {aws: {region: …}}, or AWS_REGION")
    found = {
        app: _policy(
            _allow("ReadOwnSettings", _READ, [_arn(aws, account, one + _SUFFIX) for one in names]),
            *_key(aws, account, ["kms:Decrypt"]),
        )
        for app, names in _read(context, aws.name).items()
    }
    places = [f"{aws.name}{_SUFFIX}", f"{aws.name}/*"]
    if context.stack.source.jwt and "/" in aws.name:
        places.append(document_name(aws.name, JWT) + _SUFFIX)
    batch = [_allow("ReadSeveral", ["secretsmanager:BatchGetSecretValue"], ["*"])]
    found[OPERATORS] = _policy(
        _allow("ManageSecrets", _WRITE, [_arn(aws, account, one) for one in places]),
        # AWS checks GetSecretValue of each secret besides
        *batch,
        *_key(aws, account, ["kms:Decrypt", "kms:GenerateDataKey"]),
    )
    return found


def _read(context: Context, name: str) -> dict[str, list[str]]:
    """App to the secrets that it reads."""
    signers = set(context.stack.source.jwt.apps) if context.stack.source.jwt else set()
    return {
        app: [document_name(name, one) for one in (app, *([JWT] if app in signers else []))]
        for app in context.stack.apps
    }


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(
    name: str, actions: Sequence[str], resources: Sequence[str], **more: Any
) -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources, **more}


def _key(aws: AwsSecrets, account: str | None, actions: list[str]) -> list[dict[str, Any]]:
    """For a key of the customer: AWS's own needs no permission."""
    key = aws.kms_key
    if key is None:
        return []
    condition: dict[str, Any] = {
        "StringEquals": {"kms:ViaService": f"secretsmanager.{aws.region}.amazonaws.com"}
    }
    alias = key.rpartition(":")[2]
    if alias.startswith("alias/"):
        # a policy cannot name an alias
        condition["ForAnyValue:StringEquals"] = {"kms:ResourceAliases": alias}
        key = _in(aws, account, "kms", "key/*")
    elif not key.startswith("arn:"):
        key = _in(aws, account, "kms", f"key/{key}")
    return [_allow("UseKey", actions, [key], Condition=condition)]


def _arn(aws: AwsSecrets, account: str | None, name: str) -> str:
    return _in(aws, account, "secretsmanager", f"secret:{name}")


def _in(aws: AwsSecrets, account: str | None, service: str, what: str) -> str:
    region = str(aws.region)
    partitions = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    partition = next((p for head, p in partitions.items() if region.startswith(head)), "aws")
    return f"arn:{partition}:{service}:{region}:{account or '*'}:{what}"
