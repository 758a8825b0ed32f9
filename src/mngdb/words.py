"""How numbers stand in sentences."""

from __future__ import annotations


def many(count: int, noun: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
