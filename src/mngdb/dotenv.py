"""How a value is quoted so that a shell and every dotenv reader take the same."""

from __future__ import annotations


def quoted(value: str) -> str | None:
    """The value in quotes; None for the rare one that no common form holds, such as one with both
    kinds of quotes."""
    if "'" not in value and "\n" not in value:
        return f"'{value}'"
    if not set(value) & set('"$`\\\n!'):
        return f'"{value}"'
    return None
