"""A unit of this machine, before anybody asks its server."""

from __future__ import annotations

from pathlib import Path

from mngdb.facts.doctor import Condition
from mngdb.spec.stack import Instance
from mngdb.targets.local.host import LocalHost
from mngdb.targets.local.logs import cause, stopped_in_order

#: Lines of the log in which the cause is looked for.
_LINES = 50


def condition(host: LocalHost, instance: Instance) -> Condition:
    """Whether it runs, and what its log said last if not. Raises OSError."""
    process = host.process(instance.unit)
    if process is None:
        state = host.state(instance.unit)
        lines = host.log_lines(instance.unit, _LINES) if state == "stopped" else []
        return Condition(state, in_order=stopped_in_order(lines), said=cause("\n".join(lines)))
    # proc(5): T is stopped by a signal
    stat = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    wake = f"kill -CONT {process.pid}" if stat[0] == "T" else ""
    return Condition("running", frozen=wake)
