"""What the system refuses, and what is said to do about it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mngdb.errors import of_system


def _refused(path: Path) -> str:
    return of_system(PermissionError(errno.EACCES, "Permission denied", str(path))).hint or ""


@pytest.mark.parametrize("closed", ["state", "state/servers", "state/servers/note"])
def test_what_keeps_its_own_owner_out_is_opened(tmp_path: Path, closed: str) -> None:
    note = tmp_path / "state/servers/note"
    note.parent.mkdir(parents=True)
    note.touch()
    (tmp_path / closed).chmod(0)
    try:
        assert _refused(note) == f"chmod u+rwX {tmp_path / closed}"
    finally:
        (tmp_path / closed).chmod(0o700)
    assert "chmod" not in _refused(note)
