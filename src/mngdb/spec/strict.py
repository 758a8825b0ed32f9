"""What every model of the file is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Unknown keys and silent conversions are refused; what was read does not change.

    An empty list by default is `lambda: []`: of `list` itself pydantic would ask the signature,
    which takes Python 4 ms to find out.
    """

    # defer_build: a command builds only the models that it uses (import time)
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)
