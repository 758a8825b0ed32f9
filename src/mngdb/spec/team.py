"""Who of a machine's people may look at a stack, or operate it, besides its owner."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mngdb.spec.base import Model

Role = Literal["viewer", "operator"]

#: As useradd(8) and sudoers(5) take it without an escape.
_GROUP = r"[A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,10}"


def _group(value: str) -> str:
    if not re.fullmatch(_GROUP, value):
        raise ValueError(f"{value[:40]!r} is not a group of this machine; write its name or number")
    if value in {"root", "0"}:
        raise ValueError("root needs no role")
    return value


def _number(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Group = Annotated[
    str,
    Field(json_schema_extra={"type": ["string", "integer"], "pattern": f"^({_GROUP})$"}),
    AfterValidator(_group),
    BeforeValidator(_number),
]


class Team(Model):
    """Unix groups of this machine whose members may work with the stack (docs/team.md). They run
    `mngdb-team` through sudo; `mngdb render sudoers` prints the rule."""

    viewers: Group | None = None
    """Group, by name or number, that may look: status, check, doctor and the like."""
    operators: Group | None = None
    """Group that may also run the stack: up, restart, backup, restore and the like."""

    @model_validator(mode="after")
    def _somebody(self) -> Team:
        if self.viewers is None and self.operators is None:
            raise ValueError("name a group: team: {viewers: GROUP, operators: GROUP}")
        return self

    @property
    def groups(self) -> dict[Role, str]:
        """Role to group, of those that the file names; who may more comes first."""
        found: dict[Role, str | None] = {"operator": self.operators, "viewer": self.viewers}
        return {role: group for role, group in found.items() if group is not None}
