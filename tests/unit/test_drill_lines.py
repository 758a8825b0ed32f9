"""Names that apps choose are on one line in what a drill prints."""

from __future__ import annotations

import pytest

from mngdb.cli import drill
from mngdb.ops.backup.drill import Drill
from mngdb.snapshot import Trial


def test_a_name_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    forged = Trial("shop.a\n    ok    login evil: does its work", False, "it is\nmissing")
    found = Drill(
        instance="mongodb", engine="mongodb", snapshot="s", at=1.0, restored_to=1.0, rto=1.0,
        rpo=0.0, phases={"copy": 1.0}, checks=(forged,), verdict="fail",
    )  # fmt: skip
    drill._drilled(found)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("    FAIL")
