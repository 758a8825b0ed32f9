"""Checks and what they find: one question about a live server, judged from facts.

A check is data and a pure function. What could not be observed makes its verdict `unknown`; it is
never left out, and never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from mngdb.errors import UnobservableError

Verdict = Literal["pass", "fail", "unknown", "not_applicable"]
Severity = Literal["critical", "high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low")
#: What a check is about: one server of an instance, the instance as its clients see it whatever
#: server answers, the machine, or the stack with its secrets and files.
About = Literal["member", "instance", "machine", "stack"]
#: Where reports send their readers for the meaning of a check's sources.
CONTROLS = "explained in docs/controls.md of mngdb"

T = TypeVar("T")
F = TypeVar("F")


class Seen(Struct, Generic[T], frozen=True):
    """Something that was looked for on a server: what was seen, or why it could not be."""

    found: T | None = None
    missing: str | None = None

    @property
    def value(self) -> T:
        """What was seen. Raises UnobservableError with the reason when nothing was."""
        if self.missing is not None:
            raise UnobservableError(self.missing)
        return self.found  # type: ignore[return-value]


def see(look: Callable[[], T], wanted: bool = True) -> Seen[T]:
    """What `look` returns, or the reason why the server did not tell. Not `wanted`: that is one."""
    if not wanted:
        return Seen(missing="not asked")
    try:
        return Seen(look())
    except UnobservableError as error:
        return Seen(missing=error.message)


class Judgement(Struct, frozen=True):
    """A verdict and the observed value that it rests on, in words; never a secret."""

    verdict: Verdict
    evidence: str
    severity: Severity | None = None
    """How grave it is here, where that is less than what the check says; None: as it says."""
    remedy: str = ""
    """What mends it here; empty: what the check says."""


def judged(good: bool, evidence: str) -> Judgement:
    """Pass or fail."""
    return Judgement("pass" if good else "fail", evidence)


def not_applicable(why: str) -> Judgement:
    """The check does not apply here."""
    return Judgement("not_applicable", why)


def listed(bad: Sequence[str], none: str, most: int = 5) -> Judgement:
    """Pass when the list is empty; else it fails, with the first of them as the evidence."""
    if not bad:
        return judged(True, none)
    more = f" and {len(bad) - most} more" if len(bad) > most else ""
    return judged(False, ", ".join(bad[:most]) + more)


def strangers(names: Sequence[str], adopted: bool) -> Judgement:
    """Logins that the file does not have. `adopted`: `up` closes none of them."""
    found = listed(names, "every login is in the file")
    remedy = "add it to apps: in the file, or have the server's operator disable it"
    return replace(found, remedy=remedy) if adopted else found


class Finding(Struct, frozen=True):
    """The verdict on one check for one instance."""

    id: str
    instance: str
    engine: str
    """postgres, redis, mongodb, or host."""
    title: str
    severity: Severity
    verdict: Verdict
    evidence: str
    expected: str
    remedy: str
    sources: tuple[str, ...]
    accepted: str = ""
    """Why the baseline accepts it; empty: it does not."""
    member: str | None = None
    """The server of the instance that it is about; None: the instance, or no server."""

    @property
    def where(self) -> str:
        """What it is about, for people: the instance, else the machine or the whole stack."""
        return self.instance or ("the machine" if self.engine == "host" else "the stack")

    @property
    def counts(self) -> Verdict:
        """The verdict for summary and exit code: an accepted failure does not count as one."""
        return "pass" if self.accepted and self.verdict == "fail" else self.verdict

    def as_json(self) -> dict[str, Any]:
        """The finding as `check --json` shows it."""
        shown = {
            "id": self.id,
            "instance": self.instance,
            "member": self.member,
            "engine": self.engine,
            "title": self.title,
            "severity": self.severity,
            "verdict": self.verdict,
            "evidence": self.evidence,
            "expected": self.expected,
            "remedy": self.remedy,
            "sources": list(self.sources),
        }
        return shown | ({"accepted": self.accepted} if self.accepted else {})


class Check(Struct, Generic[F], frozen=True):
    """One question. `title` says what is true when it passes; `judge` is pure."""

    id: str
    title: str
    severity: Severity
    """At the worst."""
    judge: Callable[[F], Judgement]
    expected: str
    remedy: str
    """The key of the file, or the command, that mends it."""
    sources: tuple[str, ...]
    """Requirement, chapter of the guide, page of the engine's documentation."""
    about: About = "stack"
    hosted: bool = False
    """Whether it is about what is ours also where a provider runs the server."""
    on_request: bool = False
    """Whether it is judged only where its id or a control is asked for."""

    @property
    def engine(self) -> str:
        """What it looks at: the word before the point."""
        return self.id.partition(".")[0]

    def as_json(self) -> dict[str, Any]:
        """The check as `check --list --json` shows it."""
        return {
            "id": self.id,
            "engine": self.engine,
            "about": self.about,
            "title": self.title,
            "severity": self.severity,
            "expected": self.expected,
            "remedy": self.remedy,
            "controls": list(self.sources),
            "on_request": self.on_request,
        }

    def _remedy(self, found: Judgement, instance: str) -> str:
        """It names the default instance of the engine; this one's key is its name."""
        text = found.remedy or self.remedy
        if not instance:
            return text
        return text.replace("INSTANCE", instance).replace(f"{self.engine}: ", f"{instance}: ")

    def finding(self, facts: F, instance: str = "", member: str = "") -> Finding:
        """The verdict on these facts of an instance, seen on one of its members."""
        try:
            found = self.judge(facts)
        except UnobservableError as error:
            found = Judgement("unknown", error.message)
        return self.given(found, instance, member)

    def given(self, found: Judgement, instance: str = "", member: str = "") -> Finding:
        """The same where the verdict is known without facts."""
        return Finding(
            self.id,
            instance,
            self.engine,
            self.title,
            found.severity or self.severity,
            found.verdict,
            found.evidence,
            self.expected,
            self._remedy(found, instance),
            self.sources,
            member=member if member and self.about == "member" else None,
        )
