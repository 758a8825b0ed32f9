"""What is read in the servers' logs when they do not write."""

from __future__ import annotations

import errno

import pytest

from mngdb.spec.engine_info import bare_login
from mngdb.targets.process import logs


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "12:M 30 Nov 2026 06:06:44.7 # Can't save in background: fork: Cannot allocate memory",
            ("Can't save in background: fork: Cannot allocate memory", errno.ENOMEM),
        ),
        (
            "7:C 30 Nov 2026 06:06:44.776 # Write error saving DB on disk: No space left on device",
            ("Write error saving DB on disk: No space left on device", errno.ENOSPC),
        ),
        ("7:M 30 Nov 2026 06:06:44.776 # Background saving error", None),
    ],
)
def test_what_kept_a_server_from_writing(line: str, told: tuple[str, int] | None) -> None:
    assert logs.failure(["a line before", line, "7:M 30 Nov 2026 06:06:44.810 # later"]) == told


def test_a_login_is_named_with_or_without_its_word() -> None:
    assert [bare_login(name) for name in ("role legacy", "legacy", "database x")] == [
        "legacy",
        "legacy",
        "database x",
    ]
