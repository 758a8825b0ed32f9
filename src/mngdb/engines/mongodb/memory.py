"""What a MongoDB server tells of its memory: a bounded number of questions.

https://www.mongodb.com/docs/manual/reference/command/serverStatus/ (tcmalloc, wiredTiger.cache),
…/reference/command/collStats/
"""

from __future__ import annotations

from collections.abc import Iterable

from mngdb.engines.mongodb import sessions
from mngdb.engines.mongodb.client import Refused, Session
from mngdb.engines.mongodb.databases import in_turns, of_apps
from mngdb.engines.mongodb.questions import ConnectionLost, Questions
from mngdb.errors import ConnectError, UnobservableError
from mngdb.facts.memory import Content
from mngdb.facts.mongodb_memory import MongodbMemory
from mngdb.facts.sessions import Sessions
from mngdb.findings import see
from mngdb.model import DesiredInstance

#: Collections that are asked for their part of the cache.
_MOST = 200
_SHOWN = 12


def look(session: Session, asked: DesiredInstance) -> MongodbMemory:
    """The figures; what this login may not see is a reason. Raises UnobservableError without
    serverStatus, ConnectError when the server is gone."""
    databases = of_apps(session, asked)
    questions = Questions(session)
    try:
        return MongodbMemory(
            status=questions.ask("serverStatus", tcmalloc=1),
            there_is=see(lambda: int(questions.ask("hostInfo")["system"]["memLimitMB"]) << 20),
            sessions=see(lambda: _sessions(session)),
            cached=see(lambda: _cached(questions, databases)),
        )
    except ConnectionLost as lost:
        raise lost.cause from None


def _sessions(session: Session) -> Sessions:
    try:
        return sessions.look(session)
    except (Refused, ConnectError) as error:
        raise UnobservableError(f"$currentOp is refused: {error.message}") from None


def _cached(questions: Questions, databases: Iterable[str]) -> tuple[Content, ...]:
    """Collections, with their indexes, by what they have in the cache."""
    found: dict[str, tuple[int, int]] = {}
    for database, name in _collections(questions, databases):
        try:
            stats = questions.ask("collStats", name, on=database, indexDetails=True)
        except (Refused, UnobservableError):
            continue  # dropped in between, or somebody holds it: the others are told
        inside = [stats.get("wiredTiger", {}), *stats.get("indexDetails", {}).values()]
        used = [one.get("cache", {}).get("bytes currently in the cache", 0) for one in inside]
        dirty = [one.get("cache", {}).get("tracked dirty bytes in the cache", 0) for one in inside]
        found[f"{database}.{name}"] = sum(map(int, used)), sum(map(int, dirty))
    total = sum(used for used, _ in found.values()) or 1
    most = sorted(found.items(), key=lambda pair: -pair[1][0])[:_SHOWN]
    return tuple(
        Content(name, used, used / total, f"{dirty / used:.0%} to be written" if dirty else "")
        for name, (used, dirty) in most
        if used
    )


def _collections(questions: Questions, databases: Iterable[str]) -> list[tuple[str, str]]:
    found = {}
    for database in databases:
        listed = questions.ask(
            "listCollections",
            on=database,
            nameOnly=True,
            filter={"type": "collection"},
            cursor={"batchSize": _MOST},
        )
        found[database] = [str(one["name"]) for one in listed["cursor"]["firstBatch"]]
    return in_turns(found)[:_MOST]
