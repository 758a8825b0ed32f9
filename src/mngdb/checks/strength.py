"""How good a secret is, told without telling it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from mngdb.findings import Judgement, listed
from mngdb.literals import placeholder

#: Requirement B12.
LENGTH = 32
#: Below this a machine of today may guess it from a stolen hash.
_BITS = 80


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
