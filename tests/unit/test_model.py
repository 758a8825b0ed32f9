"""What the nouns of the model say of themselves."""

from __future__ import annotations

import pytest

from mngdb.model import Change, ShellCommand


def test_an_empty_value_is_shown() -> None:
    assert Change("save", "", "900 1", True).text == "'' → 900 1"
    assert Change("save", "900 1", "", True).text == "900 1 → ''"


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ((), ()),
        (("select 1", "-At"), ("-c", "select 1", "-At")),
        (("select",), ("select",)),  # a database may be called so
        (("shop",), ("shop",)),
        (("host=db dbname=shop",), ("host=db dbname=shop",)),
        (("-f", "create tables.sql"), ("-f", "create tables.sql")),
    ],
)
def test_a_statement_is_given_to_the_client_as_one(
    rest: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert ShellCommand((), {}, "", statement="-c").words(rest) == words
    assert ShellCommand((), {}, "").words(rest) == rest
