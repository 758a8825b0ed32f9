"""What servers refused their clients, and whether that is still of concern."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime

from mngdb.engines.protocol import Diagnose, S
from mngdb.errors import UnobservableError
from mngdb.facts.denied import RECENT, Denied
from mngdb.model import DesiredInstance
from mngdb.ops.context import Context
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

    def recent(app: str, age: float) -> bool:
        return age <= min(RECENT, changed.get(app, RECENT))

    return engine.denied(session, asked, lines, recent)


def unseen(instance: Instance, error: UnobservableError) -> str:
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
            # `role shop`, and `shop` alone where an engine has no word for its logins
            words = step["object"].split()
        except (ValueError, LookupError, TypeError, AttributeError):
            continue  # the first one is cut off
        if at <= now:
            found.update(dict.fromkeys(words[1:] or words, now - at))
    return found
