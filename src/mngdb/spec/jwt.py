"""Keys that apps sign and verify JSON Web Tokens with."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from mngdb.spec.base import Model
from mngdb.spec.units import Duration, format_duration

#: Names in the vault.
CURRENT, PREVIOUS = "jwt_current", "jwt_previous"


class Jwt(Model):
    """Keys for JSON Web Tokens (HS256): mngdb generates them, and publishes them to apps as
    JWT_CURRENT and JWT_PREVIOUS (docs/secrets.md)."""

    apps: list[str] = Field(default_factory=list)
    """Apps that sign or verify tokens. They share the keys."""
    rotate: Duration = timedelta(days=30)
    """How old the current key may be; the agent then makes it the previous one. `0s`: only by
    `mngdb secrets rotate jwt`."""
    keep: Duration = timedelta(hours=24)
    """How long the previous key verifies tokens: at least as long as the longest token is valid."""

    @model_validator(mode="after")
    def _kept_shorter(self) -> Jwt:
        if self.rotate and self.rotate <= self.keep:
            raise ValueError(
                f"rotate: has to be more than keep ({format_duration(self.keep)}): two keys are "
                "valid at a time"
            )
        return self
