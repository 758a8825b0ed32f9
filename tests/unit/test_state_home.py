"""Where the state of an account's stacks is."""

from __future__ import annotations

import pytest

from mngdb.identity.home import VARIABLE, home


@pytest.mark.parametrize("given", ["/srv/x/../state", "/srv/./state/"])
def test_a_state_home_is_named_as_postgresql_names_it(given: str) -> None:
    assert str(home({VARIABLE: given})) == "/srv/state/stacks"
