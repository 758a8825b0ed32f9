"""The command `mngdb`, with a fourth engine: all that registering one takes."""

from __future__ import annotations

from pydantic import create_model

from mngdb.cli.main import run
from mngdb.ops import registry
from mngdb.spec import file, load
from mngdb.spec.engine_info import ENGINE_INFO
from tests.toy.record import TOY, ToyGrant, ToyInstance

ENGINE_INFO[TOY.name] = TOY
registry.PACKAGES[TOY.name] = "tests.toy"
file.MODELS[TOY.name] = file.Models(ToyInstance, ToyGrant)
# the key of the default instance, which a fourth engine of ours would have in spec/file.py
load.StackFile = create_model(  # type: ignore[attr-defined]
    "StackFile", __base__=file.StackFile, toy=(ToyInstance | None, None)
)

run()
