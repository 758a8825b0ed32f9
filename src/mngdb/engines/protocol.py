"""What an engine provides, in parts; `Engine` is all of them.

Each engine is a package with the same file names as the others, whose `ENGINE` is registered in
`mngdb.ops.registry`. The type parameters are its own: the session that it opens, the facts that it
reconciles, and those that its checks judge. This module imports no engine: targets and ops name by
it what they are given.

A method imports what it needs when it is called: to import an engine's package costs no driver. A
verb that not every engine has is None where it is missing, which is known without an import.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from mngdb.container import Container
from mngdb.engines.dialogue import Dialogue
from mngdb.model import (
    Access,
    Change,
    DesiredInstance,
    Outcome,
    Program,
    Programs,
    ShellCommand,
    Told,
    Unit,
    Vitals,
)
from mngdb.part import Agree, Brought, Kind, Part, Took
from mngdb.run import Account
from mngdb.samples import Family
from mngdb.secret import Secret
from mngdb.snapshot import Feed, Held, Removal, Saved, Sink, Taken, Trial
from mngdb.spec.engine_info import EngineInfo

if TYPE_CHECKING:
    from mngdb.facts.bloat import Bloated
    from mngdb.facts.denied import Counted, Denials, Evidence, Refused
    from mngdb.facts.found import FoundServer
    from mngdb.facts.indexes import Advice
    from mngdb.facts.keys import Interruptible, KeysReport, Progress, Wanted
    from mngdb.facts.locks import Backend
    from mngdb.facts.memory import MemoryFacts
    from mngdb.facts.sessions import Sessions
    from mngdb.facts.slow import Slow, Snapshot, Span
    from mngdb.spec.stack import Instance

T = TypeVar("T")
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)
F = TypeVar("F")
F_co = TypeVar("F_co", covariant=True)
C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)

#: A question to one server, on a session of its engine's.
Verb: TypeAlias = Callable[[S, DesiredInstance], T]


class Provision(Protocol):
    """What a server needs in order to run. Pure: nothing here talks to one."""

    info: EngineInfo
    stop_signal: int
    """What asks the server to stop cleanly and at once."""

    def render(self, asked: DesiredInstance) -> Unit:
        """The unit that runs the server."""
        ...

    def settings(self, asked: DesiredInstance) -> Mapping[str, str]:
        """Every server setting that mngdb wants, as the server takes it."""
        ...

    def container(self, asked: DesiredInstance, unit: Unit, *, first: bool = False) -> Container:
        """How the official image runs `unit`; `first`: with what is read at a first start."""
        ...

    def rights(self, asked: DesiredInstance) -> list[str]:
        """What each login may do, line by line as the server is told, without secrets."""
        ...

    def recovery(self, lines: Sequence[str]) -> str:
        """What the last lines of a server's log tell of a start that takes long; empty: nothing."""
        ...


class Clients(Protocol):
    """How mngdb, apps and people come to a server. Pure."""

    def admin(self, asked: DesiredInstance) -> Access:
        """The administrator's access to a managed server."""
        ...

    def external(self, asked: DesiredInstance, url: str) -> Access:
        """The administrator's access to a server that is given by its URL. Raises UsageError."""
        ...

    def unverified(self, access: Access) -> str:
        """What whoever sits on the way to somebody else's server can read and do, as `access` goes
        there: the reason, then what is at stake. Empty: nothing."""
        ...

    def login(self, asked: DesiredInstance, at: Access, app: str) -> Access:
        """The access of an app, or of the monitor, to the server that `at` leads to."""
        ...

    def url(self, access: Access) -> str:
        """The connection string, percent-encoded."""
        ...

    def tell(self, access: Access, asked: DesiredInstance, app: str, driver: str) -> Told:
        """What an app is told, so that `driver`, one of `EngineInfo.drivers`, understands it;
        empty: as the engine's usual drivers do."""
        ...

    def shell(self, access: Access, folder: str | None) -> ShellCommand:
        """The interactive client. `folder` holds the server's own programs."""
        ...


class Observe(Protocol[S, F_co, C_co]):
    """A session, and what is seen through it."""

    def connect(self, access: Access, timeout: float = 10.0) -> AbstractContextManager[S]:
        """A session; `timeout` in seconds. Raises ConnectError with the kind of the cause."""
        ...

    def warm(self) -> None:
        """Import what `connect` needs, which takes as long as many a query."""
        ...

    def vitals(self, session: S) -> Vitals:
        """Version, uptime, role and lag, asked with a real query."""
        ...

    def observe(self, session: S, asked: DesiredInstance, *, logins: bool = False) -> F_co:
        """Look at everything that `reconcile` judges; with `logins`, at what the steps for logins
        follow from alone, and not into databases. Raises UnobservableError."""
        ...

    def found(self, session: S, seen: Callable[[int, int], None]) -> FoundServer:
        """What others made on a server, as the file can say it. Changes nothing; what the login
        may not see is a note. `seen` is told how many databases were looked into, and of how many.
        Raises UnobservableError, ConnectError."""
        ...

    @property
    def script(self) -> Callable[[str], FoundServer] | None:
        """The same of a script that makes logins and databases, in the server's own language; None:
        there is no such thing. Raises UsageError."""
        ...

    def inspect(self, session: S, asked: DesiredInstance, health: bool) -> C_co:
        """The facts that the engine's checks judge (`mngdb.facts`). What the server does not tell
        is a reason in them. `health`: nothing has to be asked but what `doctor` judges
        (`checks.doctor.causes.INCIDENTS`). Raises ConnectError when the connection is lost."""
        ...


class Reconcile(Protocol[S, F]):
    """From what was observed to what the file asks for."""

    def bootstrap(self, asked: DesiredInstance, deadline: float) -> AbstractContextManager[S]:
        """Wait for a server that was just started and give the administrator's session, having
        made the administrator where there is none. `deadline` is a time.monotonic() value."""
        ...

    def initial(self, asked: DesiredInstance) -> F:
        """The facts of a server that `render` has just made."""
        ...

    def reconcile(self, asked: DesiredInstance, facts: F) -> Outcome[S]:
        """What differs between asked and found. Pure: the steps run later, on a session."""
        ...

    def unmarked(self, asked: DesiredInstance) -> frozenset[str]:
        """Objects of the file that cannot carry a mark on the server: `DesiredInstance.known` next
        time."""
        ...

    def apply(self, session: S, changes: Sequence[Change]) -> None:
        """Make a running server take hot changes (its files are written already). Raises
        StepError."""
        ...

    def change_password(self, session: S, secret: Secret) -> None:
        """Give the login of the session, the administrator's, another password in place of its
        own; what is open stays so. Raises StepError."""
        ...


class Scraper(Protocol):
    """Reads a server's metrics over one session, again and again. Not for several threads."""

    def scrape(self, timeout: float) -> Iterable[Family]:
        """Every family, to be gone through once. Holds to `timeout` (seconds) also when the server
        hangs. Raises ConnectError, after which the session is of no more use, or another
        MngdbError."""
        ...

    def close(self) -> None:
        """Give up what it opened beside the session."""
        ...


class Metrics(Protocol[S_contra]):
    """What the monitor's login reads, again and again."""

    def metrics(self, session: S_contra, asked: DesiredInstance) -> Scraper:
        """Reads metrics over the monitor's session, under the names of the usual exporter."""
        ...

    @property
    def statements(self) -> Verb[S_contra, Snapshot] | None:
        """What each statement has cost so far, where the server tells only sums. Raises
        UnobservableError."""
        ...


class LogReader(Protocol):
    """Reads a log from now on. It remembers what a later line needs of an earlier one, and no more
    than a few MB."""

    def read(self, piece: bytes) -> Sequence[Refused]:
        """What whole lines tell, which follow those of the last call."""
        ...


class EndSession(Protocol[S_contra]):
    """Cancels the statement of a session, or ends the session."""

    def __call__(self, session: S_contra, pid: int, *, terminate: bool, force: bool) -> str:
        """What was done, in words. Raises UsageError for a session that there is not, or that is
        not an app's, StepError when it goes on all the same."""
        ...


class Diagnose(Protocol[S_contra]):
    """What is wrong, asked of a live server: the commands of diagnosis. All raise ConnectError when
    the connection is lost, and UnobservableError or StepError where the login may not ask."""

    def diagnose(self, access: Access, asked: DesiredInstance, app: str) -> str | None:
        """What an app cannot do that it should, or could do that it should not; None: all is
        well. Raises ConnectError when the login itself does not succeed."""
        ...

    def sessions(self, session: S_contra, asked: DesiredInstance) -> Sessions:
        """Every client's connection but our own."""
        ...

    @property
    def hang_up(self) -> Callable[[S_contra, str, Collection[str] | None], None] | None:
        """Ends the sessions of a login but our own; with ids those of them alone, where the server
        does not tell which password opened one. Nothing more may be asked afterwards where the
        login is our own. Raises MngdbError where that is not allowed. None: it cannot."""
        ...

    @property
    def memory(self) -> Verb[S_contra, MemoryFacts] | None:
        """What the server tells of its memory."""
        ...

    @property
    def slow(self) -> Callable[[S_contra, DesiredInstance, Span], Slow] | None:
        """What takes its time."""
        ...

    @property
    def slow_lines(self) -> Callable[[Sequence[str], DesiredInstance], Slow] | None:
        """The same from lines of the server's log, where its target has only those."""
        ...

    @property
    def bloat(self) -> Verb[S_contra, Bloated] | None:
        """Space that is taken and holds nothing, the most first."""
        ...

    @property
    def indexes(self) -> Callable[[S_contra, DesiredInstance, Slow | None], Advice] | None:
        """What to do about its indexes, and what slow statements lack; None: those are not
        known."""
        ...

    @property
    def dialogue(self) -> Callable[[str, bool], Dialogue[S_contra]] | None:
        """Begins one in a database, and says whether long answers come page by page; None: a
        client of the engine's own is always there."""
        ...

    @property
    def locks(self) -> Verb[S_contra, tuple[Backend, ...]] | None:
        """Every session that waits for a lock or that another one waits for."""
        ...

    @property
    def rehearse(self) -> Verb[S_contra, Mapping[str, str]] | None:
        """Apps whose rights are not those of the file, each with what is wrong: asked as the
        administrator, so that the server notes no refusal. Raises UnobservableError. None:
        `diagnose` needs no such thing."""
        ...

    @property
    def denied(self) -> Callable[[S_contra, DesiredInstance, Evidence], Denials] | None:
        """What the server refused its clients lately, without what it refused ourselves, as apps
        in those probes. Raises UnobservableError where it does not tell."""
        ...

    @property
    def refusals(self) -> Callable[[Instance], LogReader] | None:
        """Reads what a server refuses its clients in its log as that grows. None: it stands
        elsewhere."""
        ...

    @property
    def counted(self) -> Verb[S_contra, Sequence[Counted]] | None:
        """How often it refused what, where the server itself counts that. Raises
        UnobservableError."""
        ...

    @property
    def end_session(self) -> EndSession[S_contra] | None:
        """Ends what `locks` shows."""
        ...

    @property
    def keys(
        self,
    ) -> Callable[[S_contra, DesiredInstance, Wanted, Progress, Interruptible], KeysReport] | None:
        """Where the memory of its keys goes. An interruption ends it with what was seen so far."""
        ...

    @property
    def keys_file(self) -> Callable[[Path, Wanted, Progress, Interruptible], KeysReport] | None:
        """The same from a file that a server wrote. Raises UsageError."""
        ...


class Commits(Protocol[S_contra]):
    """Whether a server's commits wait until the store has its log."""

    def look(self, session: S_contra, asked: DesiredInstance) -> Held:
        """How they stand to the archive. Raises UnobservableError."""
        ...

    def hold(self, session: S_contra, asked: DesiredInstance) -> None:
        """Have them wait for whoever follows the log. Raises StepError."""
        ...

    def free(self, session: S_contra, asked: DesiredInstance) -> None:
        """Have none wait, also of those that do. Raises StepError."""
        ...


class Backup(Protocol[S_contra]):
    """Takes a snapshot of a live server, and makes a server of one."""

    def back_up(
        self, session: S_contra, asked: DesiredInstance, access: Access, sink: Sink
    ) -> Taken:
        """Write everything that a restore needs: all databases, and what is common to them.
        `session` is the administrator's, `access` leads to the same server for connections of its
        own. Raises StepError in the engine's own words when the server ends it, also early."""
        ...

    @property
    def back_up_logically(self) -> Callable[[S_contra, Access, Programs, Sink], Taken] | None:
        """Write what servers of other versions can read, with the client programs of a server's
        version, all of it or nothing. None: `back_up` does, or nobody can. Raises MngdbError in the
        programs' own words."""
        ...

    def lay(
        self, asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None
    ) -> None:
        """Fill an empty data folder, from which the server of `asked` then starts, with the log up
        to `Saved.until` where the server itself reads it; its files are `account`'s (None: ours),
        and need not be on the disk yet. Raises MngdbError."""
        ...

    def load(self, session: S_contra, asked: DesiredInstance, saved: Saved) -> None:
        """Bring what is not in the data folder into the server that started from it, before any
        app may log in: also the log up to `Saved.until`, where `lay` did not. Raises StepError."""
        ...

    def prove(self, session: S_contra, asked: DesiredInstance, taken: Taken) -> tuple[Trial, ...]:
        """Compare a restored server's content with what `taken` says of it (counts and content that
        it does not name are not compared), and have the server check its files as far as it can."""
        ...

    @property
    def describe(self) -> Callable[[S_contra], Taken] | None:
        """What a server holds, without reading it: for servers that others back up. Raises
        MngdbError."""
        ...

    def caveats(self, session: S_contra, taken: Taken) -> tuple[str, ...]:
        """How a restored server differs from what `taken` was of, and what goes from it by itself,
        for people. Raises MngdbError."""
        ...

    @property
    def supersede(self) -> Callable[[DesiredInstance, float], tuple[str, ...]] | None:
        """Have running clients of a server whose data was exchanged take that for newer than what
        they know, also where it is older; returns what they have to do themselves, for people.
        None: they take it. The deadline is a time.monotonic() value. Raises ConnectError,
        StepError."""
        ...

    @property
    def incremental(self) -> Callable[[Program], str] | None:
        """Why no server can be made of an incremental snapshot with its programs, in words; empty:
        one can. None: every snapshot is a full one."""
        ...

    @property
    def follow(self) -> Callable[[Access, DesiredInstance, Feed], None] | None:
        """Write the server's log to the feed, as it is written, until that is over. `access` is the
        administrator's. Raises ConnectError and StepError, after which it is begun again."""
        ...

    @property
    def commits(self) -> Commits[S_contra] | None:
        """What they wait for, where that can be the store (`Instance.recovery_point`)."""
        ...

    removing: tuple[str, ...]
    """Commands that its log shows, as people write them, each of which removes much at once: with
    what they may be written before the names of what they remove. Empty: its log shows none."""
    unseen: str
    """What removes something and is not found so, in words."""

    def removals(self, saved: Saved) -> Iterator[Removal]:
        """All of these in a snapshot's log, in their order. Raises MngdbError."""
        ...

    parts: frozenset[Kind]
    """What can be brought back alone."""

    def named(self, session: S_contra, asked: DesiredInstance, part: Part) -> str:
        """What a part will be called in the live server of `session`, where nothing is called so;
        empty: its keys have their own names. Raises UsageError for what cannot be brought back."""
        ...

    def bring(
        self,
        source: S_contra,
        target: S_contra,
        asked: DesiredInstance,
        part: Part,
        agree: Agree,
        took: Took,
    ) -> Brought:
        """Bring a part, called `part.renamed` by then, from a restored server, which is `asked` and
        which nobody else uses, into the live one: whole or not at all, keys by themselves. Nothing
        that is there is changed but keys that are overwritten. What a killed command left is
        removed first. Raises UsageError where the restored server has no such part, StepError."""
        ...


class Engine(
    Provision,
    Clients,
    Observe[S, F, C_co],
    Reconcile[S, F],
    Metrics[S],
    Diagnose[S],
    Backup[S],
    Protocol[S, F, C_co],
):
    """All that one engine provides."""


#: An engine by its name: "some session and some facts, the same in all its methods" is no type that
#: there is. Whoever uses more than one method takes an `Engine[S, F, C]`, and is checked.
AnyEngine: TypeAlias = Engine[Any, Any, Any]
