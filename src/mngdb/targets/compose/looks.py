"""How the units' containers do, before anybody asks their servers."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from mngdb.facts.doctor import Condition
from mngdb.targets.compose.containers import Project
from mngdb.targets.compose.data import Data
from mngdb.targets.process import machine
from mngdb.targets.process.log_messages import cause, stopped_in_order

#: Seconds after its start in which a container that had died may do so again.
_FRESH = 60.0
#: Seconds in which it is told that a container ran out of memory.
_LATELY = 600


class Looks(Struct, frozen=True):
    """Looks at them."""

    project: Project
    data: Data

    def condition(self, unit: str) -> Condition:
        """The unit's container, before anybody asks its server. Raises MngdbError."""
        found = self.project.container(unit)
        state = found["State"] if found else {}
        running = self.project.as_running(unit, found)
        if found is None or running is None:
            lines = self.project.log(unit).last(50) if found else []
            return Condition(
                "restarting" if state.get("Restarting") else self.data.left(unit),
                out_of_memory=bool(state.get("OOMKilled")),
                in_order=stopped_in_order(lines) or found is None,
                said=cause("\n".join(lines)),
            )
        wake = f"docker unpause {unit}" if state["Paused"] else ""
        if not wake and self.project.halted(unit):
            wake = f"docker kill --signal CONT {unit}"
        failed = running.said or "no reason given"
        seen = Condition(
            "running",
            frozen=wake,
            out_of_memory=self.project.ran_out_of_memory(unit, _LATELY),
            unhealthy=failed if running.verdict == "unhealthy" else "",
        )
        if seen.out_of_memory or not found["RestartCount"] or running.uptime() > _FRESH:
            return seen
        return replace(seen, restarted=True, said=cause("\n".join(self.project.log(unit).last(50))))

    def answered(self, unit: str) -> bool:
        """Whether its files were confirmed since its container was started, by whomever."""
        found = self.project.container(unit)
        running = self.project.as_running(unit, found)
        if found is None or running is None:
            return True
        if (found["State"].get("Health") or {}).get("Status") == "healthy":
            return True
        noted = self.project.notes.noted(unit)
        return noted is not None and noted > running.started.timestamp()

    def memory_limit(self, unit: str) -> int:
        """Bytes that the unit's container may take: its own limit, or all that there is."""
        found = self.project.container(unit)
        limit = int(found["HostConfig"]["Memory"]) if found else 0
        return limit or machine.memory()
