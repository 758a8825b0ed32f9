"""One command for a Redis server where no redis-cli is installed: its words are the arguments, the
login is in the environment. It asks nothing else, so that it gets through to a server that is BUSY.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from mngdb.engines.redis.wire import ReplyError, Wire
from mngdb.errors import UsageError
from mngdb.model import Access
from mngdb.secret import Secret

_TIMEOUT = 30.0
#: What to install for more than that.
INSTALL = "redis-cli (Debian: redis-tools) or iredis (pip install iredis)"


def access() -> Access:
    """The login, as `RedisEngine.shell` hands it over."""
    at = os.environ
    secret = at.get("REDISCLI_AUTH")
    return Access(
        engine="redis",
        host=at["MNGDB_REDIS_HOST"],
        port=int(at["MNGDB_REDIS_PORT"]),
        user=at["MNGDB_REDIS_USER"],
        password=Secret(secret) if secret else None,
        database=at["MNGDB_REDIS_DATABASE"],
        tls=bool(at["MNGDB_REDIS_TLS"]),
        ca=at["MNGDB_REDIS_CA"] or None,
    )


def environment(at: Access) -> dict[str, str]:
    """What `access` reads, but for the secret."""
    found = {"HOST": at.host, "PORT": str(at.port), "USER": at.user, "DATABASE": at.database}
    found |= {"TLS": "yes" * at.tls, "CA": at.ca or ""}
    return {f"MNGDB_REDIS_{name}": value for name, value in found.items()}


def main(command: Sequence[str]) -> int:
    """Ask, print, and say by the exit code whether Redis refused."""
    if not command:
        error = UsageError("no client for Redis is installed (redis-cli or iredis)", INSTALL)
        print(f"error: {error.message}\n  hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    at = access()
    try:
        wire = Wire(at, _TIMEOUT)
        wire.limit(_TIMEOUT)
        hello = [["AUTH", at.user, at.password.reveal()]] if at.password else []
        hello += [["SELECT", at.database]] if at.database not in {"", "0"} else []
        *_, answer = wire.ask([*hello, list(command)])
    except OSError as error:
        # SHUTDOWN answers by hanging up
        print(f"Redis closed the connection: {error}", file=sys.stderr)
        return 1
    print(_shown(answer))
    return 1 if isinstance(answer, ReplyError) else 0


def _shown(answer: Any) -> str:
    if isinstance(answer, ReplyError):
        return f"(error) {answer}"
    if isinstance(answer, bytes):
        return answer.decode(errors="replace")
    if isinstance(answer, list | tuple):
        return "\n".join(map(_shown, answer))
    return "" if answer is None else str(answer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
