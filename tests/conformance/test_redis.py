"""The suite for this engine, on every target."""

from __future__ import annotations

import pytest

from tests.conformance.drivers import REDIS
from tests.conformance.promises import Promises

pytestmark = pytest.mark.live


class TestRedis(Promises):
    driver = REDIS
