"""What a login sees of its server: how it is, and what is wrong for an app."""

from __future__ import annotations

from mngdb.engines.mongodb import access as logins
from mngdb.engines.mongodb import facts, users
from mngdb.engines.mongodb.client import Refused, Session, connect
from mngdb.errors import ConnectError
from mngdb.model import Access, DesiredInstance
from mngdb.spec.mongodb import MongodbGrant

#: Bytes below which mongod soon stops: one journal file and its spare have 100 MB each.
_LOW_DISK = 64 << 20
#: What reading and writing comes to, whatever else a role permits.
_DATA = frozenset({"find", "insert", "update", "remove"})
#: Seconds that an app's login may take before it counts as failed.
_PATIENCE = 5.0


def diagnose(access: Access, asked: DesiredInstance, app: str) -> str | None:
    """One sentence on what is wrong for an app; None: all is well. Raises ConnectError, of kind
    `disk` where that is full."""
    grant = asked.instance.granted(MongodbGrant)[app]
    with connect(access, _PATIENCE) as session:
        try:
            info = session.command("connectionStatus", showPrivileges=True)["authInfo"]
            has = facts.rights_of(info["authenticatedUserPrivileges"])
            wanted = users.rights(grant)
            if asked.hosted:  # a provider gives built-in roles, which hold this besides
                systems = {f"{name}.system.js" for name in grant.names}
                has = frozenset(one for one in has if one[0] not in systems)
                wanted -= {one for one in wanted if one[1] in users.UNHOSTED}
            if asked.instance.adopt:  # others may have given it a role that they chose
                wanted = frozenset(one for one in wanted if one[1] in _DATA)
                has &= wanted
            wrong = _rights(access.user, grant, wanted, has)
            if wrong is None:
                _disk(session)
        except Refused as error:
            return f"{logins.seeds(access)} refuses {access.user}: {error.message}"
        return wrong


def _rights(
    user: str, grant: MongodbGrant, wanted: frozenset[facts.Right], has: frozenset[facts.Right]
) -> str | None:
    for name in grant.names:
        own = f"{name}."
        lacking = sorted(action for where, action in wanted - has if where == own)
        if lacking and not any(where == own for where, _ in has):
            return f"{user} has no rights on the database {name}"
        if lacking:
            return f"{user} may not {', '.join(lacking)} on {name}"
    if has - wanted:
        where = ", ".join(sorted({r.removesuffix(".") for r, _ in has - wanted}))
        return f"{user} has more rights than the file grants, on {where}"
    return None


def _disk(session: Session) -> None:
    stats = session.command("dbStats", on=session.database)
    total, used = int(stats.get("fsTotalSize", 0)), int(stats.get("fsUsedSize", 0))
    # both are 0 while the database has no collection
    if total and total - used < _LOW_DISK:
        text = f"the server's disk is full: {max(0, total - used) >> 20} MB are left"
        raise ConnectError(text, "free space on it", "disk")
