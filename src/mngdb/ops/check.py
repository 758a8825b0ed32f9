"""`check`: every line of the guide, judged on the live servers, all of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mngdb.checks import registry
from mngdb.checks.backups import PROVED
from mngdb.checks.controls import lists
from mngdb.checks.controls.report import Judged, by_item
from mngdb.checks.remedies import elsewhere
from mngdb.checks.stack import EACH, LOGINS, VERIFIED
from mngdb.dial import stays_here
from mngdb.engines.protocol import C, Engine, F, S
from mngdb.errors import MngdbError, UsageError
from mngdb.facts.backups import Proved
from mngdb.findings import SEVERITIES, Check, Finding, Judgement, Severity, Verdict
from mngdb.ops import access, workers
from mngdb.ops.backup import history
from mngdb.ops.check_around import around
from mngdb.ops.context import Context
from mngdb.spec.baseline import Accepted
from mngdb.spec.file import Backup
from mngdb.spec.problems import near
from mngdb.spec.stack import Instance

#: Where ids and controls are found.
_LIST = "'mngdb check --list' shows checks and controls"


class Report(Struct, frozen=True):
    """All findings, instance by instance."""

    findings: tuple[Finding, ...]
    notices: tuple[str, ...] = ()
    """What a person should know of the baseline: entries that have ended or match nothing."""
    items: tuple[Judged, ...] = ()
    """The items of control lists that were asked for."""

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
            **({"items": [one.as_json() for one in self.items]} if self.items else {}),
            "findings": [one.as_json() for one in self.findings],
        }


def check(
    context: Context,
    only: Sequence[str] = (),
    least: Severity = "low",
    controls: Sequence[str] = (),
    accepted: Sequence[Accepted] = (),
) -> Report:
    """Ask and judge. `only` holds ids or patterns of ids, `least` the lowest severity that counts,
    `controls` the beginnings of sources (`B13`, `guide: Redis`), `accepted` the baseline.

    Raises UsageError for a pattern or a control that no check has.
    """
    wanted = _chooser(only, least, controls)
    known = registry.by_engine()
    chosen = {
        engine: [one for one in known.get(engine, ()) if wanted(one)]
        for engine in context.stack.by_engine
    }

    each = frozenset(one.id for one in EACH if wanted(one))

    def job(instance: Instance, _: workers.Emit) -> tuple[Finding, ...]:
        hosted = context.target(instance).hosted
        area = [one for one in registry.of(hosted.checks) if wanted(one)] if hosted else []
        provided = _provided(context, instance, area) if area else ()
        return (*_of_instance(context, instance, chosen[instance.engine], each), *provided)

    findings: list[Finding] = []
    hosted = any(one.hosted for one in context.stack.instances.values())
    if each or hosted or any(chosen.values()):
        results = workers.each(context.stack, job, lambda _: None)
        findings += (one for result in results.values() for one in result.get())
    findings += around(context, wanted)
    # a check says how grave its failure is at the worst; here it may be less
    counts = SEVERITIES[: SEVERITIES.index(least) + 1]
    findings = [one for one in findings if one.severity in counts]
    report = _with_baseline(findings, accepted, context)
    return replace(report, items=by_item(report.findings, controls))


def listed(
    only: Sequence[str] = (), least: Severity = "low", controls: Sequence[str] = ()
) -> list[Check[Any]]:
    """The checks that there are, chosen as `check` does, and those on request. Raises
    UsageError."""
    chosen = _chooser(only or ["*"], least, controls)
    return [one for one in registry.every() if chosen(replace(one, on_request=False))]


def _with_baseline(
    findings: Sequence[Finding], accepted: Sequence[Accepted], context: Context
) -> Report:
    today = datetime.now(tz=UTC).date()
    known = {one.id for one in registry.every()}
    notices = []
    for entry in accepted:
        if entry.id not in known:
            raise UsageError(f"the baseline accepts {entry.id!r}{near(entry.id, sorted(known))}")
        if entry.until < today:
            notices.append(f"{entry.id}: the acceptance expired on {entry.until}; it counts again")
        elif entry.instance and entry.instance not in context.stack.instances:
            names = near(entry.instance, list(context.stack.instances))
            notices.append(f"the baseline accepts {entry.id} of {entry.instance!r}: no such{names}")
        elif not _needed(entry, findings):
            of = f" of {entry.instance}" if entry.instance else ""
            notices.append(f"the baseline accepts {entry.id}{of}, which no longer fails")
    valid = [entry for entry in accepted if entry.until >= today]

    def judged(one: Finding) -> Finding:
        for entry in valid:
            if (entry.id, entry.instance or one.instance) == (one.id, one.instance):
                return replace(one, accepted=f"{entry.reason} (until {entry.until})")
        return one

    if not findings:
        notices.append("none of these checks applies to this stack: nothing was checked")
    return Report(
        tuple(judged(one) if one.verdict == "fail" else one for one in findings), tuple(notices)
    )


def _needed(entry: Accepted, findings: Sequence[Finding]) -> bool:
    """Whether it accepts a failure; also where nobody looked, or nothing could be seen."""
    about = [
        one
        for one in findings
        if (one.id, one.instance) == (entry.id, entry.instance or one.instance)
    ]
    return not about or any(one.verdict in {"fail", "unknown"} for one in about)


def _chooser(
    only: Sequence[str], least: Severity, controls: Sequence[str]
) -> Callable[[Check[Any]], bool]:
    checks = registry.every()
    for pattern in only:
        if not any(fnmatchcase(one.id, pattern) for one in checks):
            ids = [one.id for one in checks]
            raise UsageError(f"no check named {pattern!r}{_close(pattern, ids)}", _LIST)
    sources = sorted({source for one in checks for source in one.sources})
    empty = {f"{one.name}: {item.id}" for one in lists().values() for item in one.items}
    for control in controls:
        if control in empty:
            continue  # also an item that no check judges says why
        if not any(_under(source, control) for source in sources):
            text = f"no check covers the control {control!r}{_close(control, [*lists(), *sources])}"
            raise UsageError(text, _LIST)
    count = SEVERITIES.index(least)

    def wanted(one: Check[Any]) -> bool:
        if one.on_request and not controls and one.id not in only:
            return False
        named = not only or any(fnmatchcase(one.id, pattern) for pattern in only)
        asked = not controls or any(_under(s, c) for s in one.sources for c in controls)
        return named and asked and SEVERITIES.index(one.severity) <= count

    return wanted


def _close(word: str, known: Sequence[str]) -> str:
    """The nearest known word; there are too many to show them all."""
    said = near(word, known)
    return said if said.startswith(" (") else ""


def _under(source: str, control: str) -> bool:
    """Whether a source is a control or a part of it: `guide` has `guide: Redis 1`, B1 not B13."""
    return source == control or source.startswith((f"{control} ", f"{control}:"))


def _of_instance(
    context: Context, instance: Instance, checks: Sequence[Check[Any]], each: Collection[str]
) -> tuple[Finding, ...]:
    """The findings of `checks`, and of those that are judged whatever the engine (`each`)."""
    way = _way(context, instance) if VERIFIED.id in each else ()
    if instance.hosted:
        apart = [one for one in checks if not one.hosted and one not in PROVED.values()]
        checks = [one for one in checks if one not in apart]
        theirs = Judgement("not_applicable", "its provider runs the server")
        way += tuple(one.given(theirs, instance.name) for one in apart)
    proof = PROVED.get(instance.engine)
    if proof is not None and proof in checks:
        checks = [one for one in checks if one is not proof]
        way = (*way, proof.finding(_proved(context, instance), instance.name))
    logins = [LOGINS] if LOGINS.id in each else []
    if not checks and not logins:
        return way
    where = instance.name, instance.unit
    try:
        found = _inside(context, instance, context.engine(instance), checks)
    except MngdbError as error:
        lost = Judgement("unknown", error.message)
        return (*(one.given(lost, *where) for one in (*checks, *logins)), *way)
    if not (instance.managed or instance.hosted):
        found = elsewhere(found, adopted=instance.adopt)
    tried = [one.finding(access.logins(context, instance), *where) for one in logins]
    return (*found, *tried, *way)


def _provided(
    context: Context, instance: Instance, checks: Sequence[Check[Any]]
) -> tuple[Finding, ...]:
    """The findings about what a provider runs, as he tells it."""
    hosted, where = context.target(instance).hosted, (instance.name, instance.unit)
    assert hosted is not None  # noqa: S101 - its checks were chosen by it
    try:
        facts = hosted.inspect(context.asked(instance, invent=True, find=False))
    except MngdbError as error:
        lost = Judgement("unknown", error.message)
        return tuple(one.given(lost, *where) for one in checks)
    return tuple(one.finding(facts, *where) for one in checks)


def _inside(
    context: Context, instance: Instance, engine: Engine[S, F, C], checks: Sequence[Check[C]]
) -> tuple[Finding, ...]:
    """The findings of `checks`. Raises MngdbError where the server cannot be asked."""
    # a secret that cannot be used is a finding of its own, and the rest is judged
    asked = context.asked(instance, invent=True, find=False)
    # a server that lets everybody in is looked at, too, and told
    admin = replace(context.admin(asked), unasked=True)
    with context.reach(instance), engine.connect(admin) as session:
        facts = engine.inspect(session, asked, health=False) if checks else None
    if facts is None:
        return ()
    return tuple(one.finding(facts, instance.name, instance.unit) for one in checks)


def _proved(context: Context, instance: Instance) -> Proved:
    backup = context.stack.backup or Backup()
    return history.facts(context.stack.state, backup, instance.name)


def _way(context: Context, instance: Instance) -> tuple[Finding, ...]:
    """Whether who is on the way to an external server is kept out."""
    where = instance.name, instance.unit
    try:
        at = context.admin(context.asked(instance, invent=True, find=False))
        away = at.proof is None and not stays_here(at)
        stake = context.engine(instance).unverified(at) if away else None
    except MngdbError as error:
        lost = Judgement("unknown", error.message)
        return (VERIFIED.given(lost, *where),)
    return (VERIFIED.finding(stake, *where),)
