"""Statements as a log may have them: without literals, which may be passwords or verifiers."""

from __future__ import annotations

import re

#: In the order in which a lexer would meet them: a quote inside of a name or of a comment begins
#: no literal.
_TOKENS = re.compile(
    r"""
    (?P<kept> "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ )
    | [eE]'(?:[^'\\]|''|\\.)*(?:'|$)
    | '(?:[^']|'')*(?:'|$)
    | \$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|$)
    """,
    re.VERBOSE | re.DOTALL,
)


def redacted(statement: str) -> str:
    """The statement with `'…'` in place of each literal."""
    return _TOKENS.sub(lambda found: found["kept"] or "'…'", statement)
