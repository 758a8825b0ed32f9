"""The suite is no test file by its name, and its assertions are to be as well told."""

import pytest

from mngdb.stores import streams
from tests.conformance.snapshots import SMALL

pytest.register_assert_rewrite("tests.conformance.promises")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts so small that a stream has many."""
    monkeypatch.setattr(streams, "PART", SMALL)
