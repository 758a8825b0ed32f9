"""The command `mngdb` with a fourth engine and a fourth target: all that registering them takes."""

from __future__ import annotations

import sys

from mngdb.spec.target_info import TARGET_INFO
from mngdb.spec.target_models import TARGETS
from tests.quick import hasten
from tests.yard.record import YARD, Yard

TARGET_INFO[YARD.name] = YARD
TARGETS[YARD.name] = Yard

from mngdb.spec.engine_info import ENGINE_INFO  # noqa: E402 - the file's models are built once
from mngdb.spec.engine_models import MODELS, Models  # noqa: E402
from tests.toy.record import TOY, ToyGrant, ToyInstance  # noqa: E402

ENGINE_INFO[TOY.name] = TOY
MODELS[TOY.name] = Models(ToyInstance, ToyGrant)

from mngdb.cli.main import run  # noqa: E402
from mngdb.ops import registry as engines  # noqa: E402
from mngdb.ops.rotate import work  # noqa: E402
from mngdb.targets import registry as targets  # noqa: E402

engines.PACKAGES[TOY.name] = "tests.toy.engine"
targets.PACKAGES[YARD.name] = "tests.yard"

work.SETTLE = 1.0  # the clients here read and log in at once
if "agent" in sys.argv:
    hasten(KEYS_EVERY=0.5)
run()
