"""What is wrong with a file, as lines that begin with file:line:column."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from mngdb.errors import SpecError, UsageError
from mngdb.spec.source import Document, Trail

#: More problems than this are cut: they mostly follow from the first.
_MOST = 20
#: How pydantic marks an error in a mapping's key.
KEY = "[key]"
_ABOUT_KEYS = ("unknown key ", "unknown instance ", "unknown rule ", "a secret ", "the app ")

#: What people write, to the key of that meaning.
_MEANT = {
    **dict.fromkeys(("db", "dbname", "schema"), "database"),
    **dict.fromkeys(("dbs", "schemas"), "databases"),
    **dict.fromkeys(("prefix", "pattern", "key"), "keys"),
    **dict.fromkeys(("preset", "presets", "software", "library", "framework"), "for"),
    **dict.fromkeys(("privileges", "grant", "grants", "rights", "role"), "access"),
    **dict.fromkeys(("users", "services", "clients"), "apps"),
}
#: What is said of a mapping in the place of a switch (`agent: {…}` or `agent: false`).
_EITHER = "has to be true or false"

#: Where, what, and what to do.
Problem = tuple[Trail, str, str | None]


def near(word: str, known: Sequence[str]) -> str:
    """The end of a sentence on an unknown word: the nearest known one, or all of them."""
    every = f"; expected one of: {', '.join(dict.fromkeys(known))}" if known else ""
    return did_you_mean(word, known) or every


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The nearest known word as the end of a sentence; empty: none is near."""
    lower = {one.lower(): one for one in known}
    given = word[:100].lower()
    meant = _MEANT.get(given, "")
    close = difflib.get_close_matches(given, lower, n=1, cutoff=0.6)
    close = [meant] if meant in lower and given not in lower else close
    return f" (did you mean {lower[close[0]]!r}?)" if close else ""


def none_named(kind: str, name: str, known: Collection[str], other: str = "") -> UsageError:
    """The error for an app or an instance that there is not; `other`: what has that name."""
    text = f"no {kind} named {name!r}{did_you_mean(name, known)}"
    if other:
        text = f"{name!r} is the name of an {other}, not of an {kind}"
    return UsageError(text, f"{kind}s in the file: {', '.join(known) or 'none'}")


def spec_error(
    document: Document, problems: Sequence[Problem], files: Sequence[Path] = (), more: int = 0
) -> SpecError:
    """One error that says them all, in the order of the files and their lines; `more` are cut."""
    order = {str(path): number for number, path in enumerate(files)}
    found: list[tuple[tuple[int, int, int], str]] = []
    for trail, message, hint in _without_echoes(problems):
        about_key = message.startswith(_ABOUT_KEYS) or trail[-1:] == (KEY,)
        trail = trail[:-1] if trail[-1:] == (KEY,) else trail
        place = document.place(trail, key=about_key)
        path = "" if about_key or not trail else f"{_path(trail)}: "
        text = f"{place}: {path}{message}" + (f"\n  hint: {hint}" if hint else "")
        found.append(((order.get(place.file, 0), place.line, place.column), text))
    found.sort(key=lambda one: one[0])
    lines = list(dict.fromkeys(text for _, text in found))
    more += max(0, len(lines) - _MOST)
    if more:
        lines[_MOST:] = [f"… and {more} more"]
    return SpecError("\n".join(lines))


def _path(trail: Trail) -> str:
    """`a.b.0`; what a terminal could take for a command is written as Python writes it."""
    parts = (str(part) for part in trail)
    return ".".join(p if p.isprintable() and len(p) < 70 else repr(p[:70]) for p in parts)


def _without_echoes(problems: Sequence[Problem]) -> list[Problem]:
    """Without what only follows: a literal password's other faults (their texts would show it), a
    key that is missing because an unknown one stands in its place, and that a mapping is no switch
    where the mapping itself is wrong inside."""
    secret = {trail for trail, message, _ in problems if message.startswith("a password ")}
    unknown = [(t[:-1], message) for t, message, _ in problems if message.startswith("unknown key")]
    kept = []
    for trail, message, hint in problems:
        missing = re.fullmatch(r"the key '(\w+)' is missing", message)
        if missing and any(at == trail and _instead(text, missing[1]) for at, text in unknown):
            continue
        if message == _EITHER and any(t[: len(trail)] == trail != t for t, _, _ in problems):
            continue
        clean = trail[:-1] if trail[-1:] == (KEY,) else trail
        if clean in secret and not message.startswith("a password "):
            continue
        kept.append((trail, message, hint))
    return kept


def _instead(unknown: str, missing: str) -> bool:
    """Whether an unknown key is told with the one that is missing, or with its plural: `databses`
    is neither `database` nor `databases`."""
    return re.search(rf"(did you mean '|expected one of: (.*, )?){missing}", unknown) is not None
