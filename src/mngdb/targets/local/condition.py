"""A unit of this machine, before anybody asks its server."""

from __future__ import annotations

from mngdb.facts.doctor import Condition
from mngdb.spec.stack import Instance
from mngdb.targets.local.layout import UnitFolder
from mngdb.targets.local.runner import LocalRunner
from mngdb.targets.local.servers import started_with
from mngdb.targets.process.log_messages import cause, stopped_in_order
from mngdb.targets.process.logs import tail

#: Lines of the log in which the cause is looked for.
_LINES = 50


def condition(host: LocalRunner, instance: Instance) -> Condition:
    """Whether it runs, and what its log said last if not. Raises OSError."""
    process = host.process(instance.unit)
    if process is None:
        state = host.state(instance.unit)
        lines = _last_words(host.layout.unit(instance.unit)) if state == "stopped" else []
        return Condition(state, in_order=stopped_in_order(lines), said=cause("\n".join(lines)))
    # proc(5): D waits for a disk
    return Condition("running", frozen=host.frozen(instance.unit), stuck=process.state() == "D")


def _last_words(folder: UnitFolder) -> list[str]:
    """The end of its log, nothing of an earlier run."""
    _, begin = started_with(folder)
    return tail(folder.log, since=begin).splitlines()[-_LINES:]
