"""What is said of a server that somebody else runs, where something does not succeed."""

from __future__ import annotations

import pytest

from mngdb.errors import StepError
from mngdb.targets.external.advice import advice


@pytest.mark.parametrize(
    ("hint", "admin", "said"),
    [
        (None, True, "the login in the url of queue may lack a right: ask its operator"),
        ("its own", True, "its own"),
        (None, False, None),
    ],
)
def test_a_step_that_the_server_refuses_says_whom_to_ask(
    hint: str | None, admin: bool, said: str | None
) -> None:
    refusal = StepError("Redis refused: no permissions to run 'acl|setuser'", hint)
    with pytest.raises(StepError) as found, advice("queue", admin=admin):
        raise refusal
    assert found.value.hint == said
