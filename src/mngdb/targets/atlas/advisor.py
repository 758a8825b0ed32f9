"""What the Performance Advisor has seen: the servers' own lines about slow operations.

https://www.mongodb.com/docs/atlas/performance-advisor/
"""

from __future__ import annotations

import time

from mngdb.errors import AbsentError
from mngdb.targets.atlas import cluster, project
from mngdb.targets.atlas.session import Session

#: Lines that are asked of a server, of those of a day.
_LINES, _DAY = 5000, 86_400.0


def slow_log(session: Session, since: float | None) -> list[str]:
    """Lines of every server of the cluster, of the last `since` seconds (None: a day). Raises
    MngdbError."""
    wanted, api = session.wanted, session.api
    found = api.find(*session.cluster()) if project.find(session) is not None else None
    if found is None:
        raise AbsentError(f"the Atlas cluster {wanted.cluster} is not there yet", "mngdb up")
    hosts = _hosts(cluster.strings(found).get("standard", ""))
    begin = round(1000 * (time.time() - (since or _DAY)))
    lines: list[str] = []
    for one in api.every(*session.group("processes")):
        names = {f"{one.get(name)}:{one.get('port')}" for name in ("hostname", "userAlias")}
        if hosts & {*names, str(one.get("userAlias")), str(one["id"])}:
            path = session.group("processes", str(one["id"]))
            told = api.get(*path, "performanceAdvisor", "slowQueryLogs", since=begin, nLogs=_LINES)
            lines += [str(entry["line"]) for entry in told.get("slowQueries") or ()]
    return lines


def _hosts(string: str) -> set[str]:
    """`host:port` of the servers in a connection string."""
    return set(string.partition("://")[2].partition("/")[0].split(",")) - {""}
