"""Clusters that were made for the stack and that its file does not have any more: they cost money
until somebody removes them, and the file cannot tell of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from mngdb.spec.engine_models import MODELS
from mngdb.spec.stack import Instance
from mngdb.spec.target import Target
from mngdb.spec.units import Amount
from mngdb.targets.atlas.journal import Journal
from mngdb.targets.atlas.session import Session, Wanted

#: The kind of the journal's notes: what the file said of a cluster, by its project and name.
CLUSTER = "cluster"


def key(wanted: Wanted) -> str:
    """What the journal calls a cluster."""
    return f"{wanted.project}/{wanted.cluster}"


def note(session: Session) -> None:
    """Keep what the file says of a cluster, for when it says it no more."""
    wanted = session.wanted
    instance = wanted.asked.instance
    place = {"project": wanted.project, "cluster": wanted.cluster, "region": wanted.region}
    settings = wanted.spec.model_copy(update=place).model_dump(mode="json", exclude_defaults=True)
    said = {"name": instance.name, "engine": instance.engine, "unit": instance.unit}
    text = json.dumps({**said, "target": {instance.target.kind: settings}}, sort_keys=True)
    if session.journal.of(CLUSTER).get(key(wanted)) != text:
        session.journal.write(CLUSTER, key(wanted), text)


def forget(session: Session) -> None:
    """It is not there any more."""
    session.journal.forget(CLUSTER, key(session.wanted))


def noted(journal: Journal, known: Collection[str]) -> Iterator[Instance]:
    """The instances of clusters that are noted, but for those with these keys."""
    for name, text in journal.of(CLUSTER).items():
        if name not in known:
            said: dict[str, Any] = json.loads(text)
            target = Target.model_validate(said.pop("target"))
            spec = MODELS[said["engine"]].instance.model_validate({"engine": said["engine"]})
            yield Instance(**said, spec=spec, target=target, tls=True, memory=Amount(), grants={})
