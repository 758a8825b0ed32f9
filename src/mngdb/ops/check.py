"""`check`: every line of the guide, judged on the live servers, all of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from mngdb.checks import registry
from mngdb.errors import MngdbError, UsageError
from mngdb.findings import SEVERITIES, Check, Finding, Judgement, Severity, Verdict
from mngdb.model import Asked
from mngdb.ops import workers
from mngdb.ops.context import Context
from mngdb.spec.problems import near
from mngdb.spec.stack import Instance


@dataclass(frozen=True)
class Report:
    """All findings, instance by instance."""

    findings: tuple[Finding, ...]

    def count(self, verdict: Verdict) -> int:
        """How many findings count as this verdict."""
        return sum(one.counts == verdict for one in self.findings)

    @property
    def exit_code(self) -> int:
        """0: nothing failed and nothing is unknown; 1: something failed; 3: something is
        unknown."""
        if self.count("fail"):
            return 1
        return 3 if self.count("unknown") else 0

    def as_json(self) -> dict[str, Any]:
        """The report as `check --json` prints it."""
        verdicts: tuple[Verdict, ...] = ("pass", "fail", "unknown", "not_applicable")
        return {
            "summary": {verdict: self.count(verdict) for verdict in verdicts},
            "findings": [one.as_json() for one in self.findings],
        }


def check(context: Context, only: Sequence[str] = (), least: Severity = "low") -> Report:
    """Ask and judge. `only` holds ids or patterns of ids, `least` the lowest severity that counts.

    Raises UsageError for a pattern that no check has.
    """
    wanted = _chooser(only, least)
    asked = context.all_asked(find=False)

    def job(instance: Instance, _: workers.Emit) -> tuple[Finding, ...]:
        checks = [one for one in registry.of(instance.engine) if wanted(one)]
        return _of_instance(context, asked[instance.name], checks)

    results = workers.each(context.stack, job, lambda _: None)
    return Report(tuple(one for result in results.values() for one in result.get()))


def _chooser(only: Sequence[str], least: Severity) -> Callable[[Check[Any]], bool]:
    ids = [one.id for one in registry.every()]
    for pattern in only:
        if not any(fnmatchcase(one, pattern) for one in ids):
            raise UsageError(f"no check is called {pattern!r}{near(pattern, ids)}")
    count = SEVERITIES.index(least)

    def wanted(one: Check[Any]) -> bool:
        named = not only or any(fnmatchcase(one.id, pattern) for pattern in only)
        return named and SEVERITIES.index(one.severity) <= count

    return wanted


def _of_instance(
    context: Context, asked: Asked, checks: Sequence[Check[Any]]
) -> tuple[Finding, ...]:
    instance = asked.instance
    engine = context.engine(instance)
    try:
        access = context.admin(asked)
        with context.reach(instance), engine.connect(access) as session:
            facts = engine.inspect(session, asked)
    except MngdbError as error:
        lost = Judgement("unknown", error.message)
        return tuple(
            replace(one, judge=lambda _: lost).finding(None, instance.name) for one in checks
        )
    return tuple(one.finding(facts, instance.name) for one in checks)
