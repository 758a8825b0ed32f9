"""What there is of one cluster: at most a dozen requests, side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mngdb.targets.atlas import cluster, project
from mngdb.targets.atlas.session import Found, Session

#: Requests at the same time: Atlas limits how many a project gets.
_AT_ONCE = 4


def look(session: Session) -> Found:
    """Everything that the steps judge. Raises AtlasError."""
    found = Found(project=project.find(session))
    if found.project is None or not project.usable(session.wanted, found.project):
        return found
    api = session.api
    questions: dict[str, Callable[[], Any]] = {
        "cluster": lambda: api.find(*session.cluster()),
        "users": lambda: api.every(*session.group("databaseUsers")),
        "roles": lambda: api.listed(*session.group("customDBRoles", "roles")),
        "access": lambda: api.every(*session.group("accessList")),
        "alerts": lambda: api.every(*session.group("alertConfigs")),
    }
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = {name: pool.submit(ask) for name, ask in questions.items()}
        for name, answer in answers.items():
            setattr(found, name, answer.result())
    if cluster.usable(session.wanted, found.cluster):
        found.schedule = api.find(*session.cluster("backup", "schedule"))
    return found
