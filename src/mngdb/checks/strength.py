"""How good a secret is, told without telling it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import pairwise

from mngdb.findings import Judgement, listed

#: Requirement B12.
LENGTH = 32
#: Below this a machine of today may guess it from a stolen hash.
_BITS = 80
#: Words that stand where nobody has put a secret yet, or that everybody tries first.
_WORDS = (
    *("password", "passw0rd", "changeme", "change-me", "change_me", "placeholder", "replace-me"),
    *("replaceme", "replace_me", "example", "insert-", "insert_", "your-", "your_", "dummy-"),
    *("foobared", "letmein", "qwerty", "123456", "strong_", "notsecure", "insecure", "secret"),
)
_WHOLE = re.compile(
    r"(?:admin|root|redis|postgres(?:ql)?|mongo(?:db)?|default|test|todo|xxx+|guest|user|app|dev"
    r"|pass|null|none|true|false|\.+|\*+)[\W\d_]*",
    re.IGNORECASE,
)
_MARKED = re.compile(r"<[^>]*>|\$\{[^}]*\}|\$\([^)]*\)|\{\{.*\}\}|\[[^\]]*\]")


def placeholder(value: str) -> bool:
    """Whether it is a word that stands for a secret, or one that everybody tries."""
    lower = value.casefold()
    return bool(
        any(word in lower for word in _WORDS) or _WHOLE.fullmatch(value) or _MARKED.fullmatch(value)
    )


def guessable(value: str) -> str | None:
    """Why a value is easy to guess, its length apart; None: it is not."""
    if value in (value + value)[1:-1]:
        return "repeats itself"
    kinds = len(set(value))
    if len(value) >= LENGTH and len(value) * math.log2(max(2, kinds)) < _BITS:
        return f"has {kinds} different characters"
    steps = {ord(b) - ord(a) for a, b in pairwise(value)}
    if len(value) > 2 and len(steps) == 1:
        return "is a sequence"
    return None


def long_enough(lengths: Iterable[tuple[str, int]]) -> Judgement:
    """Secrets by name and length."""
    short = [f"{name} ({length})" for name, length in lengths if length < LENGTH]
    return listed(short, f"all have {LENGTH} or more")


def no_placeholder(values: Iterable[tuple[str, str]]) -> Judgement:
    """Secrets by name and value."""
    bad = [name for name, value in values if placeholder(value)]
    return listed(bad, "no placeholder or common password")


def random_enough(values: Iterable[tuple[str, str]]) -> Judgement:
    """Secrets by name and value."""
    bad = [f"{name} {why}" for name, value in values if (why := guessable(value))]
    return listed(bad, "no repeated or sequential characters")


def all_kinds(values: Iterable[tuple[str, str]]) -> Judgement:
    """Secrets by name and value: upper and lower case, digits, special characters (guide, MongoDB
    2)."""
    bad = []
    for name, value in values:
        kinds = (str.islower, str.isupper, str.isdigit, lambda one: not one.isalnum())
        if not all(any(map(kind, value)) for kind in kinds):
            bad.append(name)
    return listed(bad, "all have upper and lower case, digits and special characters")
