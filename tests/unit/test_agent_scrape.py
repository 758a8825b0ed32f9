"""Scrapers of one server take turns: what one of them says that had to wait for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from mngdb.agent.scrape import Target
from mngdb.errors import ConnectError
from mngdb.samples import Family


class _Server:
    """A server that answers a scrape after `takes` seconds, or not in time."""

    def __init__(self) -> None:
        self.takes = 0.0

    def scrape(self, timeout: float) -> list[Family]:
        time.sleep(min(self.takes, timeout))
        if self.takes > timeout:
            raise ConnectError("it does not answer in time", kind="down")
        return []

    def close(self) -> None:
        pass


@contextmanager
def _nothing(*_: Any) -> Iterator[None]:
    yield


@pytest.fixture
def server() -> _Server:
    return _Server()


@pytest.fixture
def target(server: _Server) -> Target:
    engine = SimpleNamespace(connect=_nothing, metrics=lambda *_: server)
    context: Any = SimpleNamespace(
        engine=lambda _: engine,
        as_login=lambda *_: None,
        reach=_nothing,
        login=lambda *_: None,
    )
    member: Any = SimpleNamespace(instance=SimpleNamespace(name="postgres", engine="postgres"))
    return Target(context, member)


def _values(families: Any) -> dict[str, float]:
    return {one.name: one.samples[0].value for one in families}


def _two(target: Target, first: float, second: float) -> dict[str, float]:
    """What the second one says that comes while the first is under way."""
    other = threading.Thread(target=target.families, args=(first,))
    other.start()
    time.sleep(0.05)
    found = _values(target.families(second))
    other.join()
    return found


def test_who_waited_too_long_says_what_was_found_before(target: Target, server: _Server) -> None:
    assert _values(target.families(1.0))["pg_up"] == 1
    server.takes = 0.4
    found = _two(target, 1.0, 0.2)  # it never came to its turn
    assert (found["pg_up"], found["pg_exporter_last_scrape_error"]) == (1, 1)
    found = _two(target, 1.0, 0.6)  # it had its turn, and too little time
    assert (found["pg_up"], found["pg_exporter_last_scrape_error"]) == (1, 1)
    assert _values(target.families(1.0))["pg_exporter_last_scrape_error"] == 0


def test_a_server_that_hangs_is_down_for_everybody(target: Target, server: _Server) -> None:
    assert _values(target.families(1.0))["pg_up"] == 1
    server.takes = 60.0
    assert _two(target, 0.4, 0.5)["pg_up"] == 0
    assert _values(target.families(0.2))["pg_up"] == 0
