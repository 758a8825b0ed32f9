"""Keys for JSON Web Tokens on the file's schedule, by a command of its own: it may write to the
vault."""

from __future__ import annotations

from mngdb.agent.jobs import log
from mngdb.errors import MngdbError
from mngdb.ops import jwt, service
from mngdb.ops.context import Context
from mngdb.run import run

#: Seconds between two looks, and that the command may take.
INTERVAL, _LIMIT = 600.0, 600.0


def look(context: Context) -> None:
    """Do what is due. Raises MngdbError with the command's last words."""
    if not jwt.due(context):
        return
    argv = [*service.command(context), "secrets", "rotate", "jwt", "--due"]
    done = run(argv, timeout=_LIMIT, check=False)
    if done.returncode != 0:
        raise MngdbError(f"mngdb secrets rotate jwt failed: {done.stderr.strip()[-600:]}")
    log(f"mngdb secrets rotate jwt: {done.stdout.strip()}")
