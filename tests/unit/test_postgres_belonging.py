"""Whose databases are that the file does not name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mngdb.engines.postgres.belonging import Users, unused
from mngdb.engines.postgres.facts import Outsider, Role


def test_a_database_of_another_project_is_not_offered_for_removal() -> None:
    """Its login is marked as another stack's: to drop it is not ours to advise."""
    owners = {"a1": "theirs", "old": "made_by_hand"}
    facts: Any = SimpleNamespace(
        roles={},
        databases={},
        namesakes={"theirs": Role("another stack's")},
        outsiders=[Outsider(owner, (), (), (name,)) for name, owner in owners.items()],
        unnamed=dict.fromkeys(owners, "7 MB"),
    )
    assert unused({}, Users({}), facts) == [("old", "7 MB")]
