"""How good a secret is, told without telling it."""

from __future__ import annotations

import math
import re
from itertools import pairwise

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
