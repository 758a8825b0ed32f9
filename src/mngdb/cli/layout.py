"""How text fits a terminal: columns, tables, lines that end at words.

What goes into a pipe or a file is never broken: programs read it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TextIO

import click

from mngdb.words import plain

#: Letters and signs that may take other than one column: none of Latin, no dash, quote or ellipsis.
_WIDE = re.compile(r"[^\x00-\u02ff\u2010-\u2027]")
#: A word, with the space before it.
_WORD = re.compile(r"\s*\S+")
#: What a line begins with where its text stands in a column: a name and two spaces.
_LABEL = re.compile(r"\s*\S+(?: \S+)*? {2,}")
#: Columns below which no cell of prose is narrowed, and no terminal is believed to be.
_CELL, _LEAST = 24, 20
#: Columns between two of a table.
_GAP = 2
#: Cells that say nothing.
_EMPTY = frozenset({"", "-"})


def columns(text: str) -> int:
    """The columns that a text takes on a terminal: two for Hangul, none for a combining mark or a
    colour."""
    if "\x1b" in text:
        text = click.unstyle(text)
    if not _WIDE.search(text):
        return len(text)
    from wcwidth import wcswidth  # here: it takes 20 ms, and most output is Latin

    return wcswidth(text)


def shortened(text: str, most: int) -> str:
    """A text on one line of at most so many columns."""
    text = plain(text)
    if columns(text) <= most:
        return text
    from wcwidth import clip

    return clip(text, 0, most - 1, fillchar="") + "…"


def terminal(stream: TextIO | None) -> int | None:
    """The columns of the terminal that a stream writes to, COLUMNS if that is set; None: it is no
    terminal, or one that does not know."""
    try:
        if stream is None or not stream.isatty():
            return None
        asked = os.environ.get("COLUMNS", "")
        found = int(asked) if asked.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None
    return max(found, _LEAST) if found else None


def wrapped(text: str, most: int | None) -> str:
    """Lines of at most so many columns, broken at words; None: as they are. What follows is
    indented: below the text where a label stands before it, else by two. A longer word stays whole,
    since it may be a path or a URL that is to be copied."""
    if most is None:
        return text
    return "\n".join("\n".join(_broken(line, most)) for line in text.split("\n"))


def _broken(line: str, most: int) -> list[str]:
    if columns(line) <= most:
        return [line]
    text = click.unstyle(line)
    label = _LABEL.match(text)
    hang = columns(label[0]) if label else most
    if hang > most // 3:
        hang = min(len(text) - len(text.lstrip()), most // 3) + _GAP
    return _lines(line, most, hang)


def _lines(text: str, most: int, hang: int = 0) -> list[str]:
    """A line in lines of at most so many columns, all but the first one indented by `hang`."""
    lines = [""]
    for word in _WORD.findall(text):
        if not lines[-1].strip() or columns(lines[-1] + word) <= most:
            lines[-1] += word
        else:
            lines.append(" " * hang + word.lstrip())
    return lines


class Help(click.HelpFormatter):
    """That of click, which makes no page narrower than 50 columns."""

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        super().__init__(indent_increment, width, max_width)
        room = terminal(sys.stdout)
        if width is None and room is not None:
            self.width = min(self.width, room - 2)

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Options or commands with what they do."""
        super().write_dl(rows, min(col_max, self.width // 3), col_spacing)


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, indent: str = "", fit: bool = True
) -> list[str]:
    """Aligned columns; the head is dim where colours are shown. One text a row, of several lines
    where the terminal is narrower than the table: cells end at words, columns that say nothing are
    left out, and where that is not enough each row is a block of `key: value`, without a head. Not
    so without `fit`: a table for a file."""
    rows = [[plain(cell) for cell in row] for row in rows]
    room = terminal(sys.stdout) if fit else None
    widths = _widths(head, rows)
    if room is not None and _total(widths) + len(indent) > room:
        room -= len(indent)
        kept = [i for i in range(len(head)) if not all(row[i] in _EMPTY for row in rows)]
        head, rows = [head[i] for i in kept], [[row[i] for i in kept] for row in rows]
        narrow = _narrowed(head, rows, room)
        if narrow is None:
            return ["\n".join(indent + line for line in _block(head, row, room)) for row in rows]
        shown = [_row(row, narrow) for row in [head, *rows]]
    else:
        shown = [_row(row, widths) for row in [head, *rows]]
    lines = ["\n".join(indent + line for line in one.split("\n")) for one in shown]
    return [click.style(lines[0], dim=True), *lines[1:]]


def headed(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, fit: bool = True
) -> tuple[list[str], list[str]]:
    """The same as its head, one line or none, and one text a row."""
    lines = table(head, rows, fit=fit)
    at = len(lines) - len(rows)
    return lines[:at], lines[at:]


def _widths(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[int]:
    return [max(map(columns, cells)) for cells in zip(head, *rows, strict=True)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _narrowed(head: Sequence[str], rows: Iterable[Sequence[str]], room: int) -> list[int] | None:
    """Widths of columns that fit, the widest ones narrowed; None: not even their words do."""
    cells = list(zip(head, *rows, strict=True))
    whole = [max(map(columns, one)) for one in cells]
    least = [
        max(min(natural, _CELL), *(columns(word) for cell in one for word in cell.split() or [""]))
        for natural, one in zip(whole, cells, strict=True)
    ]
    if _total(least) > room:
        return None
    most = max(whole)
    while _total(found := [max(a, min(b, most)) for a, b in zip(least, whole, strict=True)]) > room:
        most -= 1
    return found


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = [
        _lines(cell, most) if columns(cell) > most else [cell]
        for cell, most in zip(cells, widths, strict=True)
    ]
    return "\n".join(
        (" " * _GAP)
        .join(part + " " * (most - columns(part)) for part, most in zip(line, widths, strict=True))
        .rstrip()
        for line in zip_longest(*parts, fillvalue="")
    )


def _block(head: Sequence[str], row: Sequence[str], room: int) -> list[str]:
    """A row, in lines: its first cell, and `key: value` for each other one that says something."""
    lines = [row[0]]
    for key, cell in zip(head[1:], row[1:], strict=True):
        if cell in _EMPTY:
            continue
        pair = f"{key.lower()}: {cell}" if key else cell
        if columns(lines[-1]) + _GAP + columns(pair) <= room:
            lines[-1] += " " * _GAP + pair
        else:
            lines.append(" " * _GAP + pair)
    return [part for line in lines for part in _lines(line, room, 2 * _GAP)]
