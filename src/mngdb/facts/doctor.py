"""What a doctor looks at, and what follows: troubles, the one that explains the others first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from mngdb.facts.denied import Denials, Denied
from mngdb.facts.host import Folder
from mngdb.facts.locks import Node
from mngdb.facts.logs import LargeLog
from mngdb.facts.sessions import Sessions
from mngdb.findings import Finding, Seen

# --- what was looked at


class Condition(Struct, frozen=True):
    """A unit of ours, before anybody asks its server."""

    state: Literal["absent", "stopped", "missing", "running", "restarting"]
    frozen: str = ""
    """What wakes it, where it was stopped without being ended (SIGSTOP, docker pause)."""
    stuck: bool = False
    """Whether it was waiting for its disk when it was looked at."""
    out_of_memory: bool = False
    """Whether it was killed for taking more than its limit; of processes nobody can tell."""
    blocked: str = ""
    """What keeps it from starting: a port that is taken, a program that is missing."""
    remedy: str = ""
    restarted: bool = False
    """Whether it runs, having been started again a moment ago since it had died."""
    in_order: bool = False
    """Whether it was asked to stop, and did."""
    interrupted: str = ""
    """What a restore that was killed has left it with, where that had stopped it."""
    said: str = ""
    """The line of its log that tells why it ended, where it does not run or was `restarted`."""
    unhealthy: str = ""
    """What Docker's health check said, where it fails while the container runs."""


class Service(Struct, frozen=True):
    """A container beside the servers: an exporter, a part of a page."""

    name: str
    state: Literal["absent", "stopped", "running", "restarting", "halted"]
    instances: tuple[str, ...]
    """Whom it serves."""
    page: bool
    """Whether people come through it; else Prometheus does."""
    health: str = ""
    """`starting`, `healthy`, `unhealthy`; empty where nobody looks after it."""
    said: str = ""
    """What whoever looked after it said last."""
    uptime: float | None = None
    """Seconds, where it runs."""

    @property
    def healthy(self) -> bool:
        """Whether it runs, and does what it is for as far as can be told."""
        return self.state == "running" and self.health in {"", "healthy"}

    @property
    def problem(self) -> str | None:
        """What is wrong, after its name; None: nothing."""
        if self.healthy:
            return None
        if self.state == "running":
            return "is starting" if self.health == "starting" else f"is unhealthy: {self.said}"
        over = "dies and is started again, over and over"
        return over if self.state == "restarting" else f"is not running ({self.state})"

    def as_json(self) -> dict[str, object]:
        """As `status --json` shows it."""
        return {
            "name": self.name,
            "instances": list(self.instances),
            "state": self.state,
            "healthy": self.healthy,
            "uptime": self.uptime,
            "error": None if self.problem is None else f"{self.name} {self.problem}",
        }


class Refusal(Struct, frozen=True):
    """Why the administrator does not get in. `kind` as of ConnectError; `unreachable`: what leads
    to the server does not answer, and nothing is known of the server; `damaged`: what mngdb noted
    of it is."""

    kind: str
    message: str
    hint: str


#: The app works, and the server lacks something of the file.
LACKS = "lacks"


class Diagnosis(Struct, frozen=True):
    """What doing an app's work came to. `problem` is None when all is well."""

    instance: str
    app: str
    problem: str | None
    hint: str | None = None
    kind: str = ""
    """Of a login that did not succeed: as of ConnectError, `secret` or `unreachable`; empty: it
    did; `LACKS`: it did, and the server has not all that the file asks for."""
    denied: tuple[Denied, ...] = ()
    """What the server refused the app, also what is over."""
    nameless: tuple[Denied, ...] = ()
    """Where it refused the app nothing lately: what clients that named no login were refused."""
    unseen: str = ""
    """That the server does not tell that, or not of the whole last hour."""
    unknown: str = ""
    """Why it could not be asked that: the login works, and that is all that is known."""

    def as_json(self) -> dict[str, object]:
        """As `doctor --json` shows it."""
        return {
            "instance": self.instance,
            "app": self.app,
            "problem": self.problem,
            "hint": self.hint,
            "refused": [one.as_json() for one in self.denied],
            "unknown": self.unknown or None,
        }


class Server(Struct, frozen=True):
    """One instance. What was not asked, since it did not run or answer, is empty."""

    instance: str
    engine: str
    unit: str
    condition: Condition | None
    """None: somebody else runs it."""
    disk: Seen[Folder]
    refusal: Refusal | None = None
    callers: tuple[str, ...] = ()
    """Who on this machine holds its connections, where it takes no more."""
    findings: tuple[Finding, ...] = ()
    """Those of the checks that tell of troubles."""
    sessions: Seen[Sessions] | None = None
    locks: tuple[Node, ...] = ()
    logins: tuple[Diagnosis, ...] = ()
    untried: tuple[str, ...] = ()
    """Apps of an adopted server whose passwords the vault does not have."""
    denied: Seen[Denials] | None = None
    """What it refused its clients."""
    unfinished: str = ""
    """What the last `up` of it ended with, where that failed."""
    log: LargeLog | None = None
    """None: its log is set aside in time, as far as anybody can tell."""
    crashes: tuple[str, ...] | None = None
    """When the agent restarted it since the last `up` (UTC, ISO 8601); None: it is not the agent
    who does."""


class Fired(Struct, frozen=True):
    """An alert that the agent judged. `instance` is empty where it is about none."""

    name: str
    severity: str
    instance: str
    summary: str


class AgentProblem(Struct, frozen=True):
    """What is wrong with the agent, and whether it does its work all the same. `remedy` is empty
    where `up` is one."""

    unit: str
    text: str
    remedy: str
    works: bool


class StackFacts(Struct, frozen=True):
    """The whole stack."""

    servers: tuple[Server, ...]
    missing_secrets: tuple[str, ...]
    unusable_secrets: tuple[Diagnosis, ...]
    """What is wrong with secrets that are there, by instance and app; empty: of none."""
    machine: tuple[Finding, ...]
    thresholds: Mapping[str, float]
    """Alert to its threshold, as the file has it."""
    alerts: tuple[Fired, ...] = ()
    agent: AgentProblem | None = None
    """What is wrong with the agent; None: nothing, or the file wants none."""
    services: tuple[Service, ...] = ()
    """Containers beside the servers; none where nobody could be asked for them."""
    backups: Mapping[str, str] = {}
    """Instance to what keeps its backups or its log from the store."""
    vault_lacks: str = ""
    """What the vault's disk lacks for writing, where secrets are missing."""
    backup_secrets: tuple[Refusal, ...] = ()
    """What is wrong with the backups' own secrets."""


# --- the answer


class Trouble(Struct, frozen=True):
    """Something that is wrong. No `instances`: it is about all of them."""

    cause: str
    text: str
    command: str
    """What mends it: a command, a key of the file."""
    instances: tuple[str, ...] = ()
    app: str = ""
    others: tuple[str, ...] = ()
    """Apps that it is about, too: their sessions wait for the lock of this one's."""
    watch: bool = False
    """Whether it is no trouble yet."""

    def as_json(self) -> dict[str, Any]:
        """As `doctor --json` shows it."""
        return {
            "cause": self.cause,
            "instances": list(self.instances),
            "app": self.app or None,
            "text": self.text,
            "command": self.command,
        }


class Explained(Struct, frozen=True):
    """A trouble that no other explains, and those that it explains."""

    trouble: Trouble
    consequences: tuple[Trouble, ...]

    def as_json(self) -> dict[str, Any]:
        """As `doctor --json` shows it."""
        shown = self.trouble.as_json()
        return shown | {"consequences": [one.as_json() for one in self.consequences]}


class Answer(Struct, frozen=True):
    """What is wrong, the most likely cause first; what to watch; what could not be told."""

    wrong: tuple[Explained, ...]
    watch: tuple[Trouble, ...]
    unknown: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    """Servers that do not tell what they refused their clients: that is no fault of theirs."""

    @property
    def exit_code(self) -> int:
        """0: nothing is wrong; 1: something is; 3: that cannot be told."""
        if self.wrong:
            return 1
        return 3 if self.unknown else 0

    def as_json(self) -> dict[str, Any]:
        """As `doctor --json` shows it."""
        cause, *others = self.wrong or (None,)
        return {
            "healthy": self.exit_code == 0,
            "cause": cause.as_json() if cause else None,
            "others": [one.as_json() for one in others if one is not None],
            "watch": [one.as_json() for one in self.watch],
            "unknown": list(self.unknown),
            "unseen": list(self.unseen),
        }
