"""Keys for JSON Web Tokens on the file's schedule."""

from __future__ import annotations

from mngdb.agent.children import Children
from mngdb.agent.jobs import log
from mngdb.ops import jwt
from mngdb.ops.context import Context

#: Seconds between two looks, and that the command may take.
INTERVAL, _LIMIT = 600.0, 600.0


def look(context: Context, children: Children) -> None:
    """Do what is due. Raises MngdbError with the command's last words."""
    words = ("secrets", "rotate", "jwt", "--due")
    if jwt.due(context) and (said := children.run(*words, limit=_LIMIT)):
        log(f"mngdb secrets rotate jwt: {said}")
