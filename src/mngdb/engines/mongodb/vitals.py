"""What `status` asks of a server: it needs none of what `observe` does."""

from __future__ import annotations

from mngdb.engines.mongodb.client import Document, Refused, Session
from mngdb.engines.mongodb.elections import lost_primary
from mngdb.errors import UnobservableError
from mngdb.model import Role, Vitals


def vitals(session: Session) -> Vitals:
    """Version, uptime and role, of any login. Raises UnobservableError, and ConnectError where
    the set has no primary."""
    try:
        hello = session.command("hello")
        if not hello.get("arbiterOnly"):
            # reads the catalogue: a server whose storage hangs does not pass
            session.command(
                "listCollections", on=session.database, nameOnly=True, authorizedCollections=True
            )
        version = str(session.command("buildInfo")["version"])
    except Refused as error:
        raise UnobservableError(error.message) from None
    role = _role(hello)
    if role is None:
        raise lost_primary(session)
    lag = None
    if role == "replica":
        # replSetGetStatus is for administrators; the cluster's time is that of the newest write of
        # which a heartbeat told, an idle primary's every ten seconds
        newest, own = hello["$clusterTime"]["clusterTime"], hello["lastWrite"]["opTime"]["ts"]
        lag = max(0.0, float(newest.time - own.time))
    # serverStatus is for administrators; the process's id in hello holds the time of its start
    started = hello["topologyVersion"]["processId"].generation_time.replace(tzinfo=None)
    uptime = max(0.0, (hello["localTime"] - started).total_seconds())
    return Vitals(version, uptime, "MongoDB", role, lag)


def _role(hello: Document) -> Role | None:
    """None: its set has no primary."""
    if hello.get("isWritablePrimary"):
        return "primary"
    if hello.get("arbiterOnly"):
        return "arbiter"
    return "replica" if hello.get("secondary") and "primary" in hello else None
