"""How a value is written so that a shell, Compose and dotenv libraries take the same."""

from __future__ import annotations

import re

#: Between single quotes, python-dotenv takes away backslashes, and fills in `${NAME}`.
_SINGLE = r"'(?:[^'\\$]|\\(?!['\\])|\$(?!\{))*'"
_REFERENCE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[A-Za-z0-9_./:@-]*)?\}"
_DOUBLE = rf'"(?:[^"\\$`]|{_REFERENCE})*"'
#: What means something to a shell is not among it, `~` only where it stands for a folder.
_BARE = rf"(?:[A-Za-z0-9_./:@%+,=^?*\[\]{{}}!#-]|(?<![=:])~|{_REFERENCE})*"
_SAME = re.compile(
    r"\s*(?:export +)?[A-Za-z_][A-Za-z0-9_]*="
    rf"(?:{_SINGLE}|{_DOUBLE}|{_BARE})(?:[ \t]+\#[^\r\n]*)?[ \t]*\n?"
)


def quoted(value: str) -> str | None:
    """The value in quotes; None for the rare one that no common form holds, such as one with both
    kinds of quotes."""
    if "\n" not in value and re.fullmatch(_SINGLE, f"'{value}'"):
        return f"'{value}'"
    if not set(value) & set('"$`\\\n!'):
        return f'"{value}"'
    return None


def unambiguous(assignment: str) -> bool:
    """Whether all readers take the same value from an assignment, as it stands in a file."""
    return _SAME.fullmatch(assignment) is not None
