"""What the YAML parser says of a file's layout, in words: the place of the cause, and a hint."""

from __future__ import annotations

import re
from typing import Any

import yaml

#: Line and column from 1.
Place = tuple[int, int]

_CLOSED = "separate entries with ',', and close each"
#: The parser's words for a line that is not where it belongs, as sentence and hint.
_WORDS = {
    "did not find expected key": (
        "no key is expected here",
        "indent keys of one mapping alike; after { } nothing is indented further",
    ),
    "mapping values are not allowed in this context": (
        "':' is not expected here",
        "indent keys of one mapping alike, and quote a value that contains ': '",
    ),
    "did not find expected ',' or '}'": ("',' or '}' is missing", f"{_CLOSED} {{ with }}"),
    "did not find expected ',' or ']'": ("',' or ']' is missing", f"{_CLOSED} [ with ]"),
}
_CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: |$)", re.MULTILINE)
#: A key that is glued to its value: the parser takes both for one word.
_GLUED = re.compile(r"(?P<key>\s*[\w-]+:)[^\s:/]\S*")


def told(text: str, error: yaml.MarkedYAMLError) -> tuple[Place, str, str | None]:
    """Place, sentence and hint of a parser's error in `text`."""
    mark = error.problem_mark or error.context_mark
    start = error.context_mark or mark
    said, char = str(error.problem or error.context), _at(text, mark)
    conflict = _CONFLICT.search(text)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        hint = "keep one of the two sides, and remove the lines <<<<<<<, ======= and >>>>>>>"
        return (line, 1), "a merge conflict is not resolved", hint
    if said == "found unexpected end of stream" and "quoted" in str(error.context):
        quote = _at(text, start)
        return _place(start), f"the quote {quote} is not closed", f"end the value with {quote}"
    if said == "found unknown escape character":
        said = f"unknown escape sequence {char}{_at(text, mark, 1)}"
        return _place(mark), said, r"use single quotes: \ has no meaning in them"
    glued = _glued(text, said, mark, start)
    if glued:
        return glued, "a space is missing after ':'", "write 'key: value'"
    if said == "could not find expected ':'":
        return _place(start), "':' is missing after this key", "write 'key: value', or 'key:'"
    if said == "found character that cannot start any token" and char == "\t":
        return _place(mark), "tabs cannot be used for indentation", "indent with spaces"
    if said == "found character that cannot start any token" or "alphabetic or numeric" in said:
        char = _at(text, start)
        said = f"a value cannot begin with {char} without quotes"
        return _place(mark), said, f"put the value in quotes: '{char}…'"
    if said == "did not find expected key" and char and char in "}]":
        return _place(mark), f"{char} closes nothing", "remove it"
    if re.search(r"[{,:\[]\s*\$\{", _line(text, mark)):
        said = "${…} is not possible without quotes inside { } and [ ]"
        return _place(mark), said, "write 'key: ${…}' on a line of its own, or quote a text"
    return (_place(mark), *_WORDS.get(said, (said, None)))


def _glued(text: str, said: str, mark: Any, start: Any) -> Place | None:
    """Where a key has no space after its ':', so that a later line makes no sense."""
    if said == "could not find expected ':'":
        line = start.line
    elif said == "mapping values are not allowed in this context":
        above = text.split("\n")[: mark.line]
        line = next((n for n in reversed(range(len(above))) if above[n].strip()), -1)
    else:
        return None
    found = _GLUED.match(text.split("\n")[line]) if line >= 0 else None
    return (line + 1, found.end("key") + 1) if found else None


def _place(mark: Any) -> Place:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _line(text: str, mark: Any) -> str:
    lines = text.split("\n")
    return lines[mark.line] if mark and mark.line < len(lines) else ""


def _at(text: str, mark: Any, further: int = 0) -> str:
    line = _line(text, mark)
    return line[mark.column + further : mark.column + further + 1] if mark else ""
