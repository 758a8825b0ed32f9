"""Why a replica set has no primary, and what gives it one."""

from __future__ import annotations

from mngdb.engines.mongodb import access as logins
from mngdb.engines.mongodb.client import Document, Refused, Session, no_primary
from mngdb.errors import ConnectError

#: States in which a member is still reading its data: STARTUP, RECOVERING, STARTUP2, ROLLBACK.
_STARTING = {0, 3, 5, 9}


def lost_primary(session: Session) -> ConnectError:
    """What is said where no member takes writes: `starting`, or `primary` with the cause as far as
    the login may ask for it. Raises ConnectError."""
    try:
        status = session.command("replSetGetStatus")
    except Refused:  # not an administrator's login, or the set is not made yet
        return no_primary(session.access)
    where = logins.seeds(session.access)
    if status["myState"] in _STARTING:
        return ConnectError(
            f"{where} is not primary yet", f"see 'mngdb logs {session.access.instance}'", "starting"
        )
    away = [str(one["name"]) for one in status["members"] if one["health"] != 1]
    if not away:
        return no_primary(session.access)
    return ConnectError(
        f"{where} has no primary: its replica set has no majority without {', '.join(away)}, which "
        f"{'is' if len(away) == 1 else 'are'} unreachable",
        _without(session, status),
        "primary",
    )


def _without(session: Session, status: Document) -> str:
    """What helps where members do not answer. A server of ours is alone in its set: whoever else is
    in it was added by hand, and is removed by a command that needs no mongosh."""
    if session.access.proof is None:
        return "start them; 'mngdb logs' shows why a member does not answer"
    own = next(one for one in status["members"] if one.get("self"))
    config = (
        f"{{_id: '{status['set']}', version: 1, protocolVersion: 1, "
        f"members: [{{_id: {own['_id']}, host: '{own['name']}'}}]}}"
    )
    return (
        "start what was added to the set by hand, or remove it for good: mngdb shell "
        f'{session.access.instance} "db.adminCommand({{replSetReconfig: {config}, force: true}})"'
    )
