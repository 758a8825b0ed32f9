"""Tables and lines as a terminal shows them, also a narrow one."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from mngdb.cli.keys import _keys
from mngdb.cli.layout import columns, headed, shortened, table, terminal, wrapped
from mngdb.facts.keys import Amount

STATUS = ("UNIT", "STATE", "VERSION", "ADDRESS", "MEMORY", "UP")
UNITS = [
    ("mng-pg", "healthy", "PostgreSQL 17.10 (unpatched)", "127.0.0.1:5432", "172 MB", "1s"),
    ("mng-exporter", "running", "-", "-", "-", "2s"),
]


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


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Have standard output be a terminal of so many columns, or none."""

    def be(most: int | None) -> None:
        monkeypatch.setattr("mngdb.cli.layout.terminal", lambda _: most)

    return be


def test_lines_end_at_words_and_go_on_below_their_text() -> None:
    assert wrapped("  hint: set a newer program under 'binaries:'", 24).split("\n") == [
        "  hint: set a newer",
        "    program under",
        "    'binaries:'",
    ]
    assert wrapped("keys:  a* b* c* d* e* f* g*", 21).split("\n") == [
        "keys:  a* b* c* d* e*",
        "       f* g*",
    ]
    assert wrapped("note: 비밀번호를 정기적으로 변경하고 있다", 24).split("\n") == [
        "note: 비밀번호를",
        "  정기적으로 변경하고",
        "  있다",
    ]


def test_colours_take_no_columns_and_lose_no_indent() -> None:
    text = click.style("    every word of this is dim", dim=True)
    lines = wrapped(text, 20).split("\n")
    assert [*map(click.unstyle, lines)] == ["    every word of", "      this is dim"]
    assert wrapped(click.style("x" * 20, fg="red"), 20).count("\n") == 0


def test_what_is_to_be_copied_and_what_goes_into_a_pipe_stays_whole() -> None:
    url = "postgresql://shop@127.0.0.1:5432/shop?sslmode=verify-full"
    assert url in wrapped(f"the address is {url} today", 30).split("\n")[1]
    assert wrapped("word " * 100, None) == "word " * 100
    with Path("/dev/null").open("w") as file:
        assert terminal(file) is None
    assert terminal(None) is None


@pytest.mark.parametrize("most", [20, 30, 40, 60, 80, 120])
def test_a_table_fits_and_loses_nothing(room: Callable[[int | None], None], most: int) -> None:
    room(most)
    shown = [click.unstyle(line) for row in table(STATUS, UNITS) for line in row.split("\n")]
    words = [word for row in UNITS for cell in row for word in cell.split() if word != "-"]
    longest = max(map(len, words))
    assert max(map(columns, shown)) <= max(most, longest + 4)
    found = " ".join(shown).split()
    assert [word for word in words if word not in found] == []


def test_a_narrow_table_narrows_prose_before_it_gives_up_columns(
    room: Callable[[int | None], None],
) -> None:
    head = ("VERDICT", "ITEM", "TITLE", "NOTE")
    title = "기본 계정의 비밀번호, 정책 등을 변경하여 사용하고 있다"
    rows = [("pass", "D-01", title, "-")]
    room(45)
    first, row = table(head, rows)
    assert click.unstyle(first) == "VERDICT  ITEM  TITLE"  # a column that says nothing is left out
    lines = row.split("\n")
    assert len(lines) > 1
    assert all(line.startswith(" " * 15) and columns(line) <= 45 for line in lines[1:])
    room(30)
    (block,) = table(head, rows)  # without a lone VERDICT above it
    assert block.split("\n")[0] == "pass  item: D-01"
    assert "title: " in block
    assert headed(head, rows) == ([], [block])
    room(None)
    assert table(head, rows)[1] == f"pass     D-01  {title}  -"


def test_a_table_for_a_file_is_as_wide_as_it_is(room: Callable[[int | None], None]) -> None:
    room(40)
    assert len(table(STATUS, UNITS, fit=False)[1].split("\n")) == 1
    assert all(line.startswith("  ") for line in table(STATUS, UNITS, indent="  ")[0].split("\n"))


@pytest.mark.parametrize(
    ("amount", "said"),
    [(Amount(0, 0), "0 keys"), (Amount(1, 32), "1 key"), (Amount(2000, 32, 5), "2,000 ± 5 keys")],
)
def test_one_key_is_no_keys(amount: Amount, said: str) -> None:
    assert _keys(amount) == said
