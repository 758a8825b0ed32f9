"""What every model of the file is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Unknown keys and silent conversions are refused; what was read does not change."""

    # defer_build: a command builds only the models that it uses (import time)
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)
