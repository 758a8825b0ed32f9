"""What `status` asks of a server: it needs none of what `observe` does."""

from __future__ import annotations

from mngdb.engines.mongodb.client import Refused, Session, no_primary
from mngdb.errors import UnobservableError
from mngdb.model import Vitals


def vitals(session: Session) -> Vitals:
    """Version and uptime, of any login. Raises UnobservableError, and ConnectError where
    the set has no primary."""
    try:
        # reads the catalogue: a server whose storage hangs does not pass
        session.command(
            "listCollections", on=session.database, nameOnly=True, authorizedCollections=True
        )
        hello = session.command("hello")
        version = str(session.command("buildInfo")["version"])
    except Refused as error:
        raise UnobservableError(error.message) from None
    if not hello.get("isWritablePrimary"):
        raise no_primary(session.access)
    # serverStatus is for administrators; the process's id in hello holds the time of its start
    started = hello["topologyVersion"]["processId"].generation_time.replace(tzinfo=None)
    uptime = max(0.0, (hello["localTime"] - started).total_seconds())
    return Vitals(version, uptime, "MongoDB")
