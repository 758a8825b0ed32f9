"""How `locks` tells a session that holds a lock."""

from __future__ import annotations

import click
import pytest

from mngdb.cli.locks import _lines
from mngdb.facts.locks import Backend, Node


@pytest.mark.parametrize(
    ("state", "said"),
    [("idle", "idle, connected for 18s"), ("active", "active, transaction open for 18s")],
)
def test_a_session_in_no_transaction_has_none_open(state: str, said: str) -> None:
    """It holds an advisory lock, which outlives the transaction that took it."""
    one = Backend(7, "shop", "shop", "", "client backend", state, 18.0, None, "", "COMMIT", ())
    assert said in click.unstyle(_lines(Node(one, (), 0), "", "")[0])
