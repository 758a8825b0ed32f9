"""What servers refused their clients, and whether that is still of concern."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from mngdb.engines.protocol import Diagnose, S
from mngdb.errors import UnobservableError
from mngdb.facts.denied import RECENT, Denied
from mngdb.model import DesiredInstance
from mngdb.ops.context import Context
from mngdb.spec.agent import MONITOR
from mngdb.spec.stack import Instance
from mngdb.targets.process import logs

#: Lines of a server's log, and bytes of the stack's audit log, that are looked through.
_LINES, _AUDIT = 5000, 1 << 17


def look(
    context: Context, engine: Diagnose[S], session: S, asked: DesiredInstance
) -> tuple[Denied, ...]:
    """Refusals of one instance, the latest first. Raises UnobservableError where nobody tells."""
    if engine.denied is None:
        return ()
    instance = asked.instance
    servers = context.target(instance).servers
    lines = (lambda: servers.log_lines(instance.unit, _LINES)) if servers else None
    changed = _changed(context, instance)
    found = engine.denied(session, asked, lines)
    return tuple(
        replace(one, over=one.age > min(RECENT, changed.get(one.app, RECENT))) for one in found
    )


def unseen(instance: Instance, error: UnobservableError) -> str:
    """That nobody knows what was refused, for people."""
    return f"{instance.name}: what it refused its clients is not visible: {error.message}"


def _changed(context: Context, instance: Instance) -> Mapping[str, float]:
    """Apps, and the monitor, whom the agent may be before its login is there, to the seconds since
    their login or its rights were last changed here."""
    found, logins = {}, {*instance.grants, MONITOR}
    for line in logs.tail(context.stack.state / "audit.log", _AUDIT).splitlines():
        try:
            step = json.loads(line)
            at = datetime.fromisoformat(step["time"]).timestamp()
            if step["instance"] != instance.name or step["result"] != "done":
                continue
            words = step["object"].split()
        except (ValueError, LookupError, TypeError, AttributeError):
            continue  # the first one is cut off
        found.update(dict.fromkeys(logins & set(words), max(0.0, time.time() - at)))
    return found
