"""The suite for this engine, on every target."""

from __future__ import annotations

import pytest

from tests.conformance.drivers import MONGODB
from tests.conformance.promises import Promises

pytestmark = pytest.mark.live


class TestMongodb(Promises):
    driver = MONGODB
