"""The record names tests that there are."""

from __future__ import annotations

import re

from tests.clients.record import rows
from tests.conftest import ROOT


def test_each_row_was_written_by_a_test_that_is_still_there() -> None:
    assert rows()
    for row in rows():
        path, _, name = row["test"].partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.M), row
