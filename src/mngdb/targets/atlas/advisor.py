"""What the Performance Advisor has seen: the servers' own lines about slow operations, and indexes
that those lack.

https://www.mongodb.com/docs/atlas/performance-advisor/
"""

from __future__ import annotations

import json
import time

from mngdb.errors import AbsentError
from mngdb.facts.indexes import IndexAdvice
from mngdb.targets.atlas import cluster, project
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.session import Session

#: Lines that are asked of a server, of those of a day.
_LINES, _DAY = 5000, 86_400.0


def slow_log(session: Session, since: float | None) -> list[str]:
    """Lines of every server of the cluster, of the last `since` seconds (None: a day). Raises
    MngdbError."""
    api = session.api
    _find_project(session)
    found = api.find(*session.cluster())
    if found is None:
        raise _absent(session)
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


def suggested(session: Session) -> list[Json]:
    """The indexes that it suggests, as Atlas tells of them. Raises MngdbError."""
    if not session.project:
        _find_project(session)
    path = session.cluster("performanceAdvisor", "suggestedIndexes")
    found = session.api.get(*path, envelope="true")
    every: list[Json] = found.get("content", found).get("suggestedIndexes") or []
    return every


def keys(one: Json) -> dict[str, int]:
    """The fields of a suggested index, and their directions."""
    return {field: int(way) for part in one["index"] for field, way in part.items()}


def advice(one: Json) -> IndexAdvice:
    """The same as `indexes` shows it. Atlas does not say how large it would be."""
    database, _, collection = str(one["namespace"]).partition(".")
    text = json.dumps(keys(one))
    where = f"db.getSiblingDB({json.dumps(database)})[{json.dumps(collection)}]"
    return IndexAdvice(
        "missing",
        database,
        collection,
        ", ".join(keys(one)),
        0,
        "Atlas' Performance Advisor suggests it",
        f"{where}.createIndex({text})",
        "disk, and slower writes; better in mngdb.yaml: "
        f"indexes: {{{collection}: [{{keys: {text}}}]}}",
    )


def _find_project(session: Session) -> None:
    if project.find(session) is None:
        raise _absent(session)


def _absent(session: Session) -> AbsentError:
    name = session.wanted.cluster
    return AbsentError(f"the Atlas cluster {name} is not there yet", "mngdb up")


def _hosts(string: str) -> set[str]:
    """`host:port` of the servers in a connection string."""
    return set(string.partition("://")[2].partition("/")[0].split(",")) - {""}
