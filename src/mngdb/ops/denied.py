"""What servers refused their clients, and whether that is still of concern."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from mngdb.engines.protocol import Diagnose, S
from mngdb.errors import MngdbError, UnobservableError, of_system
from mngdb.facts.denied import RECENT, Denials, Evidence, Pieces
from mngdb.model import DesiredInstance
from mngdb.ops import probes
from mngdb.ops.context import Context
from mngdb.ops.logs import renewed
from mngdb.spec.agent import MONITOR
from mngdb.spec.stack import Instance
from mngdb.targets.log import Log
from mngdb.targets.process import logs

#: Bytes of the stack's audit log that are looked through.
_AUDIT = 1 << 17
#: Seconds that the agent's scrapes, one each 15 s, may go on by the password that they began with.
_SCRAPES = 30.0
#: What engines call a login.
_LOGINS = frozenset({"role", "user"})


def look(context: Context, engine: Diagnose[S], session: S, asked: DesiredInstance) -> Denials:
    """Refusals of one instance. Raises UnobservableError where nobody tells."""
    if engine.denied is None:
        return Denials()
    instance = asked.instance
    servers = context.target(instance).servers
    log = servers.log(instance.unit) if servers else None
    changed = _changed(context, instance)
    noted = probes.of(context.stack.state, instance.name)

    def recent(app: str, age: float) -> bool:
        late = _SCRAPES if app == MONITOR else 0.0
        return age <= min(RECENT, changed.get(app, RECENT + late) - late)

    pieces = _pieces(log, instance) if log else None
    found = engine.denied(session, asked, Evidence(pieces, recent, noted))
    return replace(found, lost=lost(log, instance)) if log else found


def _pieces(log: Log, instance: Instance) -> Pieces:
    """Raises UnobservableError, for an engine that asks for it, where a log cannot be read."""
    if why := lost(log, instance):
        raise UnobservableError(why)
    try:
        yield from log.back()
    except OSError as error:  # a second person of the team may not read it
        raise UnobservableError(of_system(error).message) from None


def lost(log: Log, instance: Instance) -> str:
    """Why what a server writes to its log cannot be read, and what helps; empty: it can."""
    why = log.lost()
    return f"{why}: {renewed(instance)}" if why else ""


def unseen(instance: Instance, error: MngdbError) -> str:
    """That nobody knows what was refused, for people."""
    return f"{instance.name}: what it refused its clients is not visible: {error.message}"


def _changed(context: Context, instance: Instance) -> Mapping[str, float]:
    """Apps, also those that left the file, and the monitor, whom the agent may be before its login
    is there, to the seconds since their login or its rights were last changed here. A moment that
    is still to come is none: the clock was ahead then."""
    found, now = {}, time.time()
    for line in logs.tail(context.stack.state / "audit.log", _AUDIT).splitlines():
        try:
            step = json.loads(line)
            at = datetime.fromisoformat(step["time"]).timestamp()
            if step["instance"] != instance.name or step["result"] != "done":
                continue
            app = step.get("app") or _login(step["object"])
        except (ValueError, LookupError, TypeError, AttributeError):
            continue  # the first one is cut off
        if at <= now:
            found[app] = now - at
    return found


def _login(changed: str) -> str:
    """The login that an object of a step is: `role shop`, and `shop` alone where an engine has no
    word for its logins; '' for any other."""
    word, _, name = changed.partition(" ")
    return name if word in _LOGINS else "" if name else word
