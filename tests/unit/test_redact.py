"""What stands of statements and commands in the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from mngdb.engines.postgres.redact import redacted as statement
from mngdb.engines.redis.redact import redacted as commands

SECRET = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(
    lambda text: f"SECRET{text}SECRET"
)


@given(SECRET, st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_no_literal_is_left_in_a_statement_whatever_the_names(secret: str, name: str) -> None:
    text = sql.SQL("/* it's */ ALTER ROLE {} PASSWORD {}; SELECT {} -- don't").format(
        sql.Identifier(name.replace("SECRET", "")), sql.Literal(secret), sql.Literal(secret)
    )
    shown = statement(text.as_string())
    assert "SECRET" not in shown
    assert shown.startswith("/* it's */ ALTER ROLE \"")
    assert "PASSWORD" in shown


@pytest.mark.parametrize(
    "literal",
    ["'SECRET'", "E'a\\'SECRET'", "'a''SECRET'", "$$SECRET$$", "$t$a$$SECRET$t$", "'SECRET"],
)
def test_each_kind_of_literal(literal: str) -> None:
    assert statement(f"""SELECT "it's", {literal}""") == """SELECT "it's", '…'"""


@given(SECRET)
def test_no_password_hash_key_or_value_is_left_of_a_command(secret: str) -> None:
    asked = [
        ["AUTH", "admin", secret],
        ["ACL", "SETUSER", "shop", "reset", f">{secret}", f"#{secret}", "~shop:*", "+@read"],
        ["CONFIG", "SET", "masterauth", secret],
        ["SET", secret, secret],
        ["MEMORY", "USAGE", secret],
        ["EVAL", secret, "0"],
    ]
    shown = commands(asked)
    assert "SECRET" not in shown
    for part in ("AUTH", "ACL SETUSER shop reset >… #… ~shop:* +@read", "masterauth", "EVAL"):
        assert part in shown


def test_many_commands_are_one_short_line() -> None:
    assert commands([["PING"]] * 3) == "3 × PING"
    many = commands([["ACL", "SETUSER", f"app{number}"] for number in range(500)])
    assert many.endswith("492 others")
