"""What a server refused its clients, as it tells itself: in a list, in its log."""

from __future__ import annotations

import difflib
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from mngdb.errors import UnobservableError
from mngdb.secret import app_of
from mngdb.spec.agent import MONITOR
from mngdb.spec.base import BaseGrant
from mngdb.spec.several import REST, DatabasesGrant
from mngdb.words import many, plain, span

#: Seconds after which a refusal is history: the client may have been mended since.
RECENT = 3600.0
#: What helps an app whose login does not succeed while the vault's password is right.
OLD_CLIENT = "its client has another password than the vault: give it what 'mngdb env {app}' prints"
#: What helps an app whose connections go on with a login that has no rights any longer.
WITHDRAWN = (
    "a rotation has withdrawn the login of this connection: restart the app, with what "
    "'mngdb env {app}' prints"
)
#: What helps where the file was changed and nothing else, or the server was.
PERMITTED = "the file permits it by now: 'mngdb up' applies that"
#: What helps a client that asks for another database than its app's.
ADDRESS = "'mngdb env {app}' prints its URL"
#: How it is told that software uses names without the prefix that the file gives it.
UNTOLD = "was not told its prefix"
#: How it is told that no line of the file helps.
NO_LINE = "no line of the file permits"
#: Refusals that a sentence has room for.
SHOWN = 5
#: What looks like an id: many letters with a digit among them, hexadecimal digits, a number.
_ID = re.compile(r"(?=[\w.~-]*\d)[\w.~-]{20,}|\b[0-9a-f]{12,}\b|\b\d{4,}\b", re.ASCII)
#: Words that a long name begins with: `LOCK_` of `LOCK_9f86…`.
_WORDS = re.compile(r"(?:(?:[A-Z]?[a-z]+|[A-Z]+)[_.~-]+)*", re.ASCII)
#: Characters after such words that may be a secret.
_SECRET = 8
#: Characters of a name of the client's choosing.
_WIDE = 80
#: How alike two names are of which one is mistyped.
_NEAR = 0.75
#: Seconds by which a moment that is still to come may be one of now.
_AHEAD = 60.0
#: Seconds by which moments may differ that are the same.
_SLACK = 0.1


class Denied(Struct, frozen=True):
    """Refusals of the same thing. It has names, never the values of a statement."""

    login: str
    what: str
    """What was refused: `PSUBSCRIBE on the channel 'jobs:*'`."""
    remedy: str
    """The line of the file that would permit it, or why none would; several in lines of text."""
    times: int
    age: float
    """Seconds since the last time; below zero: the clock was ahead then, and nobody knows."""
    mild: bool = False
    """Whether the app's rights are not the cause: a login with another password, a session that
    was idle for too long."""
    over: bool = False
    """Whether it is no longer of concern: it is old, or the app's rights have changed since."""
    nameless: bool = False
    """Whether its client named no login: it may be any app's."""

    @property
    def app(self) -> str:
        """The app whose login it is, where it is one's."""
        return app_of(self.login)

    @property
    def hopeless(self) -> bool:
        """Whether nothing permits it."""
        return self.remedy.startswith(NO_LINE)

    def as_json(self) -> dict[str, Any]:
        """As `doctor --json` shows it."""
        return {
            "login": self.login,
            "what": self.what,
            "remedy": self.remedy,
            "times": self.times,
            "age": round(self.age, 1),
            "over": self.over,
        }


class Denials(Struct, frozen=True):
    """What a server refused lately, as far as it tells."""

    found: tuple[Denied, ...] = ()
    """The latest first."""
    seen: float | None = None
    """Seconds that its log was looked through, where those are less than `RECENT`."""
    lost: str = ""
    """Why what it writes to its log cannot be read, where they do not come from there."""

    @property
    def unseen(self) -> str:
        """What is not known, for people; empty: nothing."""
        if self.lost or self.seen is None:
            return self.lost
        return (
            f"of what it refused its clients, the last {span(self.seen)} are visible: its log has "
            "too many entries"
        )


class Refused(Struct, frozen=True):
    """One refusal, as a log has it."""

    login: str
    at: float
    """Seconds since the epoch."""
    kind: Literal["access", "login"]
    by_mngdb: bool
    """Whether its client calls itself mngdb, or could not say yet what it is."""


class Counted(Struct, frozen=True):
    """A server's own count of refusals of the same thing."""

    id: str
    """By which it is known again while the count rises."""
    app: str
    kind: Literal["access", "login"]
    times: int
    age: float
    """Seconds since the last time."""


class Probe(Struct, frozen=True):
    """Mngdb worked with the login of an app, or with one of its own that was just being made."""

    app: str
    begun: float
    """Seconds since the epoch."""
    ended: float


#: A server's log backwards: whole lines, about a MB at a time, the newest first. The last one is
#: empty where older lines are left out.
Pieces: TypeAlias = Iterator[bytes]


class Evidence(Struct, frozen=True):
    """What is known, beside the server, of what it refused."""

    log: Pieces | None
    """None: it is not to be had."""
    recent: Callable[[str, float], bool]
    """Whether what an app's login was refused so many seconds ago is still of concern."""
    probes: Sequence[Probe] = ()

    def pieces(self) -> Pieces:
        """The log. Raises UnobservableError where it is not to be had."""
        if self.log is None:
            raise UnobservableError("its log is not on this machine")
        return self.log


def by_probe(probes: Iterable[Probe], app: str, at: float) -> bool:
    """Whether what an app was refused then was a probe's doing: logs have milliseconds, and clocks
    of hosts differ."""
    return any(app == one.app and one.begun - _SLACK <= at <= one.ended + _SLACK for one in probes)


class Logged(Protocol):
    """A refusal that stands in a log."""

    @property
    def login(self) -> str: ...
    @property
    def at(self) -> float:
        """Seconds since the epoch."""
        ...

    @property
    def by_mngdb(self) -> bool:
        """Whether its client calls itself mngdb, or could not say yet what it is."""
        ...


class Told(Logged, Protocol):
    """One that `doctor` can tell."""

    @property
    def what(self) -> str:
        """What was refused, in a few words."""
        ...


L = TypeVar("L", bound=Logged)
R = TypeVar("R", bound=Told)


def by_others(refusals: Iterable[L], probes: Iterable[Probe]) -> Iterator[L]:
    """Without what was a probe's doing."""
    for one in refusals:
        if not (one.by_mngdb and by_probe(probes, app_of(one.login), one.at)):
            yield one


def grouped(
    refusals: Iterable[R],
    evidence: Evidence,
    remedy: Callable[[R, Sequence[R]], str],
    mild: Callable[[R], bool],
) -> tuple[Denied, ...]:
    """Refusals of the same thing as one, the latest first. `remedy` gets the last of them and the
    last ones of all that its app was refused, as far as they are of concern like it: one line of
    the file gives an app all that it lacks."""
    now = time.time()
    by: dict[tuple[str, str], list[R]] = defaultdict(list)
    for one in refusals:
        by[one.login, one.what].append(one)

    def age(one: R) -> float:
        return now - one.at if one.at > now + _AHEAD else max(0.0, now - one.at)

    def fresh(one: R) -> bool:
        # of a clock that was set back: who is still refused is so at a moment of now, too
        return age(one) >= 0 and evidence.recent(app_of(one.login), age(one))

    besides: dict[tuple[str, bool], list[R]] = defaultdict(list)
    for same in by.values():
        besides[app_of(same[-1].login), fresh(same[-1])].append(same[-1])
    found = [
        Denied(
            login,
            what,
            remedy(same[-1], besides[app_of(login), fresh(same[-1])]),
            len(same),
            age(same[-1]),
            mild=mild(same[-1]),
            over=not fresh(same[-1]),
        )
        for (login, what), same in by.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.age < 0, one.age)))


def shape(name: str) -> str:
    """A login's name with `*` for what looks like an id: a password may have been given for it."""
    return _ID.sub("*", name)


def key_shape(name: str) -> str:
    """A key or a channel with `*` for what looks like an id, since that of a session is a secret.
    Words before it stay: they tell whose it is."""
    return _ID.sub(_after_words, name)


def _after_words(found: re.Match[str]) -> str:
    words = _WORDS.match(found[0])
    cut = words.end() if words else 0
    rest = found[0][cut:]
    return found[0][:cut] + ("*" if len(rest) >= _SECRET else _ID.sub("*", rest))


def quoted(name: str) -> str:
    """A name that a client chose, for a sentence."""
    name = plain(name)
    return f"'{name[:_WIDE]}{'…' * (len(name) > _WIDE)}'"


def stranger(login: str, admin: str) -> str:
    """What helps a login that is no app's, given what the server's administrator is called."""
    if login in {MONITOR, admin}:
        return (
            f"{login} is a login of mngdb's own: 'mngdb plan' shows whether it is as it should be"
        )
    return "the file has no such app"


def more_databases(
    app: str,
    names: Sequence[str],
    grants: Mapping[str, DatabasesGrant],
    write: Callable[[str, object], str],
    absent: Callable[[str], str],
) -> dict[str, str]:
    """What gives an app each of these databases: one line for all that it can have; or why none
    does. `write` writes a field of the app's right with its value (`permit`); `absent` says of a
    database that does not exist why it is not offered (`mistyped`)."""
    grant, found = grants[app], dict[str, str]()
    taken = list(grant.databases or [grant.database])
    for name in dict.fromkeys(names):
        owner = next((o for o, one in grants.items() if o != app and one.covers(name)), None)
        if owner is not None:
            found[name] = f"{quoted(name)} is the database of {owner}: it is for that app alone"
        elif name.endswith(REST) or not takes(grant, databases=[*taken, name]):
            # a client's name is no beginning of names
            found[name] = f"{NO_LINE} the database {quoted(name)}"
        elif why := absent(name):
            found[name] = why
        else:
            taken.append(name)
    # a field that gains nothing is no part of other lines
    line = write("databases", taken) if any(one not in found for one in names) else ""
    return {one: found.get(one, line) for one in names}


def mistyped(app: str, name: str, grant: DatabasesGrant) -> str:
    """What helps where a client asks for a database that does not exist and whose name is nearly
    that of one of the app's; empty: it is not."""
    own = {one.lower(): one for one in reversed(grant.names)}
    near = difflib.get_close_matches(name[:_WIDE].lower(), own, n=1, cutoff=_NEAR)
    if not near:
        return ""
    return f"{no_such(name)}; the app's is {quoted(own[near[0]])}: {ADDRESS.format(app=app)}"


def no_such(name: str) -> str:
    """That a database does not exist."""
    return f"the client asks for the database {quoted(name)}, which does not exist"


def permit(place: str, grant: BaseGrant, field: str, value: object, **others: object) -> str:
    """The line of the file that gives a field of an app's right this value. A right of one field
    may have the short form, which has no place for another: it is written as a whole, with the
    `others` that the app is offered, since each such line replaces the one before."""
    given = grant.model_dump(mode="json", by_alias=True, exclude_unset=True)
    values = {**others, field: value}
    if len(given) == 1 and "for" not in given and not values.keys() <= given.keys():
        return whole(place, grant, values)
    return f"{place}.{field}: {_yaml(value)}"


def whole(place: str, grant: BaseGrant, values: Mapping[str, object]) -> str:
    """The line of the file that has an app's right with these values: of fields that go together,
    one alone would take something away."""
    given = grant.model_dump(mode="json", by_alias=True, exclude_unset=True)
    fields = ", ".join(f"{key}: {_yaml(one)}" for key, one in {**given, **values}.items())
    return f"{place}: {{{fields}}}"


def _yaml(value: object) -> str:
    """As the file has it, in a line."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w-]*", value, re.ASCII):
        return value
    return json.dumps(value, ensure_ascii=False)


def takes(grant: BaseGrant, **values: object) -> bool:
    """Whether the file takes these in an app's right."""
    given = grant.model_dump(by_alias=True, exclude_unset=True)
    try:
        type(grant).model_validate(given | values)
    except ValueError:
        return False
    return True


def tells(denied: Iterable[Denied], problem: str | None) -> bool:
    """Whether the remedy of one that is of concern begins with this sentence."""
    return any(one.remedy.partition(": ")[0] == problem for one in denied if not one.over)


def told(denied: Iterable[Denied]) -> str:
    """Refusals in one sentence, those that a line permits first."""
    every = sorted(denied, key=lambda one: one.hopeless)
    parts = [f"{one.what} ({many(one.times, 'time')}, {_last(one)})" for one in every[:SHOWN]]
    more = len(every) - SHOWN
    return "; ".join([*parts, *([f"and {more} more"] if more > 0 else [])])


def _last(one: Denied) -> str:
    if one.age < 0:
        return "at a time still to come: the clock was ahead"
    return f"last {span(one.age)} ago"


def remedies(denied: Iterable[Denied]) -> list[str]:
    """What would permit them, each once; what software has to be told is first, since often
    nothing else is needed. What nothing permits is last, in one clause."""
    every = dict.fromkeys(line for one in denied for line in one.remedy.split("\n"))
    some = sorted(
        (text for text in every if not text.startswith(NO_LINE)),
        key=lambda text: UNTOLD not in text,
    )
    none = [text.removeprefix(NO_LINE).strip() for text in every if text.startswith(NO_LINE)]
    return [*some, *([f"{NO_LINE} {', '.join(none)}"] if none else [])]


def hints(denied: Iterable[Denied]) -> str:
    """The same in lines of text, which say what is the file's."""
    return "\n".join(
        f"to permit it: {one}" if one.startswith("apps.") else one for one in remedies(denied)
    )
