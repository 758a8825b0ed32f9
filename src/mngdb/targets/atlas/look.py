"""What there is of one cluster: at most a dozen requests, side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mngdb.targets.atlas import cluster, peering, private_link, project
from mngdb.targets.atlas.session import Found, Session

#: Requests at the same time: Atlas limits how many a project gets.
_AT_ONCE = 4


def look(session: Session) -> Found:
    """Everything that the steps judge. Raises AtlasError, StepError."""
    found = Found(project=project.find(session))
    questions: dict[str, Callable[[], Any]] = {
        **private_link.aws_questions(session),
        **peering.aws_questions(session),
    }
    usable = found.project is not None and project.usable(session.wanted, found.project)
    if usable:
        questions |= _of_atlas(session)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = {name: pool.submit(ask) for name, ask in questions.items()}
        for name, answer in answers.items():
            setattr(found, name, answer.result())
    if usable and cluster.usable(session.wanted, found.cluster):
        found.schedule = session.api.find(*session.cluster("backup", "schedule"))
    if found.services:
        found.endpoint = private_link.registered(session, found)
    return found


def _of_atlas(session: Session) -> dict[str, Callable[[], Any]]:
    api = session.api
    return {
        "cluster": lambda: api.find(*session.cluster()),
        "users": lambda: api.every(*session.group("databaseUsers")),
        "roles": lambda: api.listed(*session.group("customDBRoles", "roles")),
        "access": lambda: api.every(*session.group("accessList")),
        "alerts": lambda: api.every(*session.group("alertConfigs")),
        **private_link.questions(session),
        **peering.questions(session),
    }
