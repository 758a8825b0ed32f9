"""Columns of tables, as a terminal shows them."""

from __future__ import annotations

import unicodedata

import click
import pytest

from mngdb.cli.common import columns, shortened, table


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("orders", 6),
        ("주문", 4),
        (unicodedata.normalize("NFD", "주문"), 4),  # as macOS writes it, in single letters
        ("café – 90 % …", 13),
        ("cafe\u0301", 4),
        ("표\u200b시", 4),
        ("👩‍💻", 2),
    ],
)
def test_columns(text: str, count: int) -> None:
    assert columns(text) == count


def test_cells_begin_under_their_word() -> None:
    rows = [("주문:*", "12"), ("cart:*", "3"), ("장바구니와배송", "4")]
    head, *lines = map(click.unstyle, table(("PATTERN", "KEYS"), rows))
    assert head.index("KEYS") == 16
    for line, (_, keys) in zip(lines, rows, strict=True):
        assert columns(line[: line.rindex(keys)]) == 16


@pytest.mark.parametrize("text", ["x" * 30, "주문" * 15, "a" + "주문" * 15, "\x1b[2J" * 9])
def test_what_is_too_long_is_cut_to_columns(text: str) -> None:
    short = shortened(text, 20)
    assert short.endswith("…")
    assert 19 <= columns(short) <= 20
    assert "\x1b" not in short


def test_what_fits_is_left_as_it_is() -> None:
    assert shortened("주문 조회", 9) == "주문 조회"
