"""The baseline: findings that a team accepts, each with a reason and a day on which that ends."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError

from mngdb.errors import SpecError, UsageError
from mngdb.spec import source
from mngdb.spec.base import Model

_FORM = "accept: [{id: …, instance: …, reason: …, until: 2027-01-31}]"


def _day(value: object) -> object:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is not a date; write 2027-01-31") from None


class Accepted(Model):
    """One finding that is accepted."""

    id: str
    """The check."""
    instance: str | None = None
    """The instance; without it every one."""
    reason: Annotated[str, Field(min_length=8)]
    """Why, for the next reader."""
    until: Annotated[date, BeforeValidator(_day)]
    """The last day on which it counts."""


class Baseline(Model):
    """A baseline file."""

    accept: list[Accepted] = Field(default_factory=lambda: [])
    """What is accepted."""


def read(path: Path) -> list[Accepted]:
    """The entries of a baseline file. Raises SpecError with file, line and column."""
    if not path.exists():
        raise UsageError(f"{path}: no such file", f"a baseline has {_FORM}")
    document = source.read(path, {})
    try:
        return Baseline.model_validate(document.data).accept
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            trail = tuple(problem["loc"])
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{document.place(trail)}: {'.'.join(map(str, trail))}: {said}")
        raise SpecError("\n".join(lines), _FORM) from None
