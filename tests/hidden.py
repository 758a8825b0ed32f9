"""Secrets of the tests' stacks do not stand in what pytest prints of a failed test: in arguments of
functions, in the values of an assertion, in what a command printed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

_SHOWN = "(secret)"
#: Characters that a secret has at least, and that are left of one that pytest abbreviates.
_SHORTEST, _LEFT = 8, 4
_IN_URL = re.compile(r"(?<=://)([^\s:/@']*):[^\s/@']+(?=@|\.\.\.)")


def _secrets() -> Iterator[str]:
    """What the files of secrets of this worker's stacks hold."""
    for path in Path(os.environ["MNGDB_STATE_HOME"]).glob("stacks/*/secrets/*"):
        with suppress(OSError, UnicodeDecodeError):
            text = path.read_text().strip()
            if len(text) >= _SHORTEST and "\n" not in text:
                yield text


def hider(secrets: Iterable[str]) -> Callable[[str], str]:
    """Takes these secrets, and passwords in URLs, out of a text, also where pytest left out the
    middle of one."""
    parts = []
    for one in secrets:
        cuts = range(len(one) - 1, _LEFT - 1, -1)
        parts.append(re.escape(one))
        parts += [rf"{re.escape(one[:cut])}(?=\.\.\.)" for cut in cuts]
        parts += [rf"(?<=\.\.\.){re.escape(one[-cut:])}" for cut in cuts]
    known = re.compile("|".join(parts) or r"(?!)")
    return lambda text: _IN_URL.sub(rf"\1:{_SHOWN}", known.sub(_SHOWN, text))


def _hide(found: Any, hide: Callable[[str], str], seen: set[int]) -> Any:
    """The same with no secret in it: pytest's representation of a failure is objects of objects."""
    if isinstance(found, str):
        return hide(found)
    if isinstance(found, (list, tuple)):
        return type(found)(_hide(one, hide, seen) for one in found)
    if hasattr(found, "__dict__") and id(found) not in seen:
        seen.add(id(found))
        for name, value in vars(found).items():
            object.__setattr__(found, name, _hide(value, hide, seen))
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of what failed, before anybody prints it."""
    report = yield
    if report.failed:
        hide = hider(_secrets())
        report.longrepr = _hide(report.longrepr, hide, set())
        report.sections = _hide(report.sections, hide, set())
    return report
