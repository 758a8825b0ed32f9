"""How a MongoDB server's parameters are judged: what the checks of settings share."""

from __future__ import annotations

from collections.abc import Callable

from mngdb.checks.catalogue import Judge, Settings
from mngdb.facts.mongodb import MongodbFacts
from mngdb.findings import Judgement, judged, not_applicable


def parameter(name: str, good: Callable[[str], bool]) -> Judge[MongodbFacts]:
    """Judges one value of getParameter, as JSON writes it."""

    def judge(facts: MongodbFacts) -> Judgement:
        value = facts.parameters.value.get(name)
        if value is None:
            return not_applicable(f"this version has no {name}")
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        return judged(good(shown), f"{name} {shown}")

    return judge


SETTINGS = Settings(
    parameter,
    {
        "setting": "db.adminCommand({setParameter: 1, %s: %s})",
        "parameter": "db.adminCommand({setParameter: 1, %s})",
    },
)
