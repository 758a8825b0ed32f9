"""The suite for this engine, on every target."""

from __future__ import annotations

import pytest

from tests.conformance.drivers import POSTGRES
from tests.conformance.promises import Promises

pytestmark = pytest.mark.live


class TestPostgres(Promises):
    driver = POSTGRES
