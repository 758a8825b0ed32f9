"""Reads a file's text as the product does, for the tests of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mngdb.errors import UsageError
from mngdb.spec import source
from mngdb.spec.load import build
from mngdb.spec.stack import Stack

NAME = "mngdb.yaml"


def stack(text: str, **variables: str) -> Stack:
    """The stack that a file of this text describes."""
    return build(source.parse(text, NAME, variables), (Path(NAME),))


def refused(text: str, **variables: str) -> str:
    """What is said of a file that is refused, hints included."""
    with pytest.raises(UsageError) as caught:
        stack(text, **variables)
    assert caught.value.exit_code == 2
    return caught.value.message + (f"\n  hint: {caught.value.hint}" if caught.value.hint else "")
