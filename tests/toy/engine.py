"""What the toy engine does."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from msgspec.structs import replace

from mngdb.container import Container
from mngdb.dial import dial, prove
from mngdb.engines import logins
from mngdb.engines.protocol import Engine
from mngdb.errors import ConnectError, StepError, UsageError
from mngdb.facts.found import FoundServer
from mngdb.facts.sessions import Sessions
from mngdb.model import (
    Access,
    Action,
    Change,
    DesiredInstance,
    File,
    Outcome,
    ShellCommand,
    Step,
    Told,
    Unit,
    Vitals,
)
from mngdb.part import Agree, Brought, Kind, Part, Took
from mngdb.release import Release
from mngdb.run import Account
from mngdb.samples import Family, Sample
from mngdb.secret import Secret, app_of, login_of
from mngdb.snapshot import Feed, Point, Removal, Saved, Sink, Taken, Trial
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import EngineInfo
from tests.toy.record import TOY, ToyGrant, ToyInstance


class Login(NamedTuple):
    """A login as the server keeps it."""

    hash: str
    prefix: str | None
    mark: str


class Facts(NamedTuple):
    """What is there."""

    logins: dict[str, Login]
    version: str


@dataclass
class Session:
    """A connection that is logged in."""

    wire: Any

    def ask(self, verb: str, **given: Any) -> Any:
        """The answer. Raises StepError, ConnectError."""
        try:
            self.wire.write(json.dumps({"do": verb, **given}).encode() + b"\n")
            self.wire.flush()
            answer = json.loads(self.wire.readline() or "null")
        except OSError as error:
            raise ConnectError(str(error), kind="down") from error
        if answer is None:
            raise ConnectError("the server hung up", kind="down")
        if "error" in answer:
            raise StepError(answer["error"])
        return answer["is"]


def _hash(secret: Secret) -> str:
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def _wanted(asked: DesiredInstance) -> dict[str, Login]:
    grants, secrets = asked.instance.granted(ToyGrant), asked.login_secrets()
    prefixes: dict[str, str | None] = {
        login: one.prefix for app, one in grants.items() for login in asked.logins(app)
    }
    if asked.instance.monitored:
        prefixes[MONITOR] = None
    return {
        name: Login(_hash(secrets[name]), prefix, asked.stack) for name, prefix in prefixes.items()
    }


class Scraper:
    """Reads `info`."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def scrape(self, timeout: float) -> Iterable[Family]:
        found = self.session.ask("info")["open"]
        return [Family("toy_open", "gauge", "Connections", [Sample("toy_open", (), float(found))])]

    def close(self) -> None:
        pass


class ToyEngine:
    """The engine `toy`."""

    info: EngineInfo = TOY
    stop_signal: int = signal.SIGTERM
    commits = statements = memory = slow = bloat = indexes = locks = end_session = None
    hang_up = keys = keys_file = incremental = back_up_logically = supersede = None
    describe = slow_lines = rehearse = denied = refusals = counted = script = dialogue = None

    def render(self, asked: DesiredInstance) -> Unit:
        site, spec = asked.site, cast(ToyInstance, asked.instance.spec)
        assert site is not None
        conf = {
            "host": asked.listen[0],
            "port": spec.port,
            "data": site.data,
            "admin": _hash(asked.secrets["admin"]),
            "limit": spec.max_connections,
        }
        return Unit(
            name=asked.instance.unit,
            instance=asked.instance.name,
            engine=TOY.name,
            argv=(site.program.server, f"{site.conf}/toy.json"),
            files=(File("toy.json", json.dumps(conf, indent=1)),),
            cold_files=frozenset({"toy.json"}),
            holds=("logins.json",),
        )

    def settings(self, asked: DesiredInstance) -> Mapping[str, str]:
        return {"limit": str(cast(ToyInstance, asked.instance.spec).max_connections)}

    def container(self, asked: DesiredInstance, unit: Unit, *, first: bool = False) -> Container:
        return Container(memory=64 << 20, processes=32, health="exit 0\n")

    def rights(self, asked: DesiredInstance) -> list[str]:
        return [f"{name}: {one.prefix}" for name, one in _wanted(asked).items()]

    def recovery(self, lines: Sequence[str]) -> str:
        return ""

    def admin(self, asked: DesiredInstance) -> Access:
        return asked.access("admin", "")

    def external(self, asked: DesiredInstance, url: str) -> Access:
        parts = urlsplit(url)
        if parts.scheme not in TOY.schemes or not parts.hostname:
            raise UsageError(f"{url!r} is not a toy URL")
        return Access(
            engine=TOY.name,
            host=parts.hostname,
            port=parts.port or TOY.port,
            user=parts.username or "admin",
            password=asked.secrets.get("admin"),
            instance=asked.instance.name,
        )

    def unverified(self, access: Access) -> str:
        return ""

    def login(self, asked: DesiredInstance, at: Access, app: str) -> Access:
        user = app if app == MONITOR else login_of(app, asked.secrets[app])
        return replace(at, user=user, password=asked.secrets[app])

    def url(self, access: Access) -> str:
        secret = access.password.reveal() if access.password else ""
        return f"toy://{access.user}:{secret}@{access.host}:{access.port}"

    def tell(self, access: Access, asked: DesiredInstance, app: str, driver: str) -> Told:
        grant = asked.instance.granted(ToyGrant)[app]
        return Told({"url": self.url(access), "prefix": grant.prefix})

    def shell(self, access: Access, folder: str | None) -> ShellCommand:
        return ShellCommand((("nc", (access.host, str(access.port))),), {}, "install netcat")

    @contextmanager
    def connect(self, access: Access, timeout: float = 10.0) -> Iterator[Session]:
        try:
            found = dial(access, timeout)
        except OSError as error:
            raise ConnectError(f"nobody answers: {error}", kind="down") from error
        with found:
            try:
                prove(access, found, timeout)
            except OSError as error:
                raise ConnectError(f"it hung up: {error}", kind="down") from error
            session = Session(found.makefile("rwb"))
            secret = access.password.reveal() if access.password else ""
            try:
                session.ask("login", name=access.user, password=secret)
            except StepError as error:
                raise ConnectError(error.message, kind="auth") from error
            yield session

    def warm(self) -> None:
        pass

    def vitals(self, session: Session) -> Vitals:
        found = session.ask("info")
        return Vitals(found["version"], found["up"], TOY.title, "primary")

    def observe(self, session: Session, asked: DesiredInstance, *, logins: bool = False) -> Facts:
        found = {name: Login(**one) for name, one in session.ask("logins").items()}
        return Facts(found, session.ask("info")["version"])

    def found(self, session: Session, seen: Callable[[int, int], None]) -> FoundServer:
        return FoundServer(notes=("nobody adopts a toy",))

    def inspect(self, session: Session, asked: DesiredInstance, health: bool) -> Facts:
        return self.observe(session, asked)

    @contextmanager
    def bootstrap(self, asked: DesiredInstance, deadline: float) -> Iterator[Session]:
        while True:
            try:
                attempt = self.connect(self.admin(asked))
                session = attempt.__enter__()
                break
            except ConnectError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)
        try:
            yield session
        finally:
            attempt.__exit__(None, None, None)

    def initial(self, asked: DesiredInstance) -> Facts:
        return Facts({}, "")

    def reconcile(self, asked: DesiredInstance, facts: Facts) -> Outcome[Session]:
        wanted, steps, notices = _wanted(asked), [], []
        for name, one in wanted.items():
            found = facts.logins.get(name)
            if found is None:
                steps.append(_step(asked, "create", name, "login", _write(name, one)))
            elif found != one:
                steps.append(_step(asked, "change", name, "its login", _write(name, one)))
        for name, one in facts.logins.items():
            if name in wanted:
                continue
            login = logins.Login(name, one.mark, bool(one.hash))
            fate = logins.unwanted(asked, login)
            if fate == "drop":
                steps.append(_step(asked, "drop", name, "its login", _drop(name), gone=True))
                continue
            if fate == "close":
                closed = one._replace(hash="", prefix=None)
                steps.append(_step(asked, "revoke", name, "its login", _write(name, closed)))
            if app_of(name) not in asked.instance.grants:
                notices.append(logins.closed(asked, login))
        release = Release.of(TOY.title, facts.version) if facts.version else None
        return Outcome((), tuple(steps), tuple(notices), release)

    def unmarked(self, asked: DesiredInstance) -> frozenset[str]:
        return frozenset()

    def apply(self, session: Session, changes: Sequence[Change]) -> None:
        pass

    def change_password(self, session: Session, secret: Secret) -> None:
        raise StepError("the administrator's password is in a file that is read at the start")

    def back_up(
        self, session: Session, asked: DesiredInstance, access: Access, sink: Sink
    ) -> Taken:
        said = session.ask("dump")
        found = said["values"]
        data = json.dumps(found).encode()
        sink.expect(len(data))
        with sink.stream("values.json") as stream:
            stream.write(data)
        return Taken(
            kind="full",
            product=TOY.title,
            version=session.ask("info")["version"],
            source="toy",
            position={},
            counts={"keys": len(_own(found))},
            moment=said["now"],
            log=Point("toy", said["log"]),
        )

    def lay(
        self, asked: DesiredInstance, saved: Saved, folder: Path, account: Account | None
    ) -> None:
        path = folder / "values.json"
        values = json.loads(b"".join(saved.read("values.json")))
        if saved.until is not None:
            assert saved.taken.log is not None
            for piece in saved.log():
                entries = [json.loads(line) for line in piece.data.splitlines()]
                for moment, key, value in entries[max(0, saved.taken.log.position - piece.begin) :]:
                    if moment <= saved.until:
                        values[key] = value
        path.write_text(json.dumps(values))
        if account is not None:
            os.chown(path, account.uid, account.gid)

    def load(self, session: Session, asked: DesiredInstance, saved: Saved) -> None:
        pass

    def prove(self, session: Session, asked: DesiredInstance, taken: Taken) -> tuple[Trial, ...]:
        found = len(_own(session.ask("dump")["values"]))
        return (Trial("keys", found == taken.counts.get("keys", found), f"{found} keys"),)

    def caveats(self, session: Session, taken: Taken) -> tuple[str, ...]:
        return ()

    def follow(self, access: Access, asked: DesiredInstance, feed: Feed) -> None:
        with self.connect(access) as session:
            at = feed.resume("toy")
            if at is None:
                at = session.ask("dump")["log"]
            feed.begin(Point("toy", at))
            while not feed.over:
                found = session.ask("log", since=at)
                for entry in found["entries"]:
                    at += 1
                    feed.write(json.dumps(entry).encode() + b"\n", at, entry[0])
                feed.beat(found["now"])
                time.sleep(0.05)

    removing: tuple[str, ...] = ()
    unseen: str = ""

    def removals(self, saved: Saved) -> Iterator[Removal]:
        raise NotImplementedError

    parts: frozenset[Kind] = frozenset()

    def named(self, session: Session, asked: DesiredInstance, part: Part) -> str:
        raise NotImplementedError

    def bring(
        self,
        source: Session,
        target: Session,
        asked: DesiredInstance,
        part: Part,
        agree: Agree,
        took: Took,
    ) -> Brought:
        raise NotImplementedError

    def metrics(self, session: Session, asked: DesiredInstance) -> Scraper:
        return Scraper(session)

    def diagnose(self, access: Access, asked: DesiredInstance, app: str) -> str | None:
        prefix = asked.instance.granted(ToyGrant)[app].prefix
        with self.connect(access) as session:
            try:
                session.ask("put", key=f"{prefix}mngdb", value="1")
            except StepError as error:
                return error.message
        return None

    def sessions(self, session: Session, asked: DesiredInstance) -> Sessions:
        return Sessions(session.ask("info")["limit"], ())


def _step(
    asked: DesiredInstance, action: Action, name: str, detail: str, run: Any, *, gone: bool = False
) -> Step[Session]:
    return Step(asked.instance.name, TOY.name, action, name, detail, run, destructive=gone)


def _write(name: str, login: Login) -> Any:
    return lambda session: session.ask("write", name=name, **login._asdict())


def _drop(name: str) -> Any:
    return lambda session: session.ask("drop", name=name)


ENGINE: Engine[Session, Facts, Facts] = ToyEngine()


def _own(values: Mapping[str, str]) -> list[str]:
    """The apps' keys, not the one that `diagnose` puts."""
    return [key for key in values if not key.endswith("mngdb")]
