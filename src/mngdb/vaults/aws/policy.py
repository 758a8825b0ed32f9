"""Who a secret's resource policy lets in, besides those of its own account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

#: Operations that give a value, as patterns of a policy may name them.
_READING = frozenset({
    "*", "secretsmanager:*", "secretsmanager:get*", "secretsmanager:getsecretvalue",
    "secretsmanager:getsecret*", "secretsmanager:batchget*",
})  # fmt: skip


def let_in(policy: str, arn: str) -> Iterator[str]:
    """Accounts, or `anybody`, that may read the secret with this ARN by its policy. Conditions of a
    statement do not count: they may hold for anybody."""
    own = arn.split(":")[4]
    for statement in _list(json.loads(policy).get("Statement")):
        actions = {str(one).lower() for one in _list(statement.get("Action"))}
        reads = bool(actions & _READING) or "NotAction" in statement
        if statement.get("Effect") != "Allow" or not reads:
            continue
        principal = statement.get("Principal", "*" if "NotPrincipal" in statement else None)
        every = principal.get("AWS") if isinstance(principal, dict) else principal
        for one in map(str, _list(every)):
            account = one.split(":")[4] if one.startswith("arn:") else one
            if account == "*":
                yield "anybody"
            elif account != own:
                yield f"account {account}"


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
