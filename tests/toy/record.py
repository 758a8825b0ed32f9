"""What the file says of the toy engine, and its record: all that registering it takes, besides its
package."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import model_validator

from mngdb.spec.base import BaseGrant, BaseInstance, Port, Version
from mngdb.spec.engine_info import EngineInfo, Image, Metrics, Server

TOY = EngineInfo(
    name="toy",
    title="Toy",
    one_password=True,
    port=7777,
    suffix="toy",
    schemes=("toy",),
    variables="TOY",
    parts=("url", "prefix"),
    drivers={},
    socket="toy-{port}.sock",
    image=Image("toy", "1.2.3", "", "toy-server", "/data", "/run", "toy"),
    metrics=Metrics("toy", int(os.environ.get("TOY_METRICS_PORT", "9777"))),
    servers={"toy": Server("Toy", "toy-server")},
    memory=0.01,
    example="toy: {}\n",
    example_right="{app}/",
)


class ToyInstance(BaseInstance):
    """A toy server."""

    engine: Literal["toy"] = "toy"
    version: Version | None = "1"
    port: Port = TOY.port
    max_connections: int = 20


class ToyGrant(BaseGrant):
    """An app's right: the keys that begin with a prefix."""

    prefix: str

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"prefix": value} if isinstance(value, str) else value
