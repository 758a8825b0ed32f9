"""Where the connections of a login come from, as `connections` shows it."""

from __future__ import annotations

from mngdb.cli.sessions import _origins


def test_each_address_is_named_once() -> None:
    assert _origins(["127.0.0.1", "127.0.0.1 mngdb", "127.0.0.1 web"]) == "127.0.0.1 (mngdb, web)"
    assert _origins(["::1", "psql of me"]) == "::1, psql of me"
    assert _origins([f"10.0.0.{n}" for n in range(5)]) == "10.0.0.0, 10.0.0.1, 10.0.0.2 …"
