"""`init --from`: the file that describes servers, and scripts, that others made. Nothing changes on
a server; only the file and the administrators' passwords in the vault are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace

from mngdb.engines.protocol import AnyEngine
from mngdb.errors import ConnectError, MngdbError, SecretError, SpecError, UsageError
from mngdb.facts.found import FoundServer
from mngdb.identity.home import home
from mngdb.identity.locate import folder_of, locate
from mngdb.identity.record import records
from mngdb.model import Access, DesiredInstance
from mngdb.ops import registry
from mngdb.ops.adopt_text import Part, Text, written
from mngdb.ops.context import Context
from mngdb.ops.init import create
from mngdb.ops.secrets import put
from mngdb.secret import Secret, generate
from mngdb.spec import source
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.load import build
from mngdb.spec.names import check_plain
from mngdb.spec.stack import Stack, secret_name
from mngdb.spec.target_info import DEFAULT_STACK
from mngdb.vaults.environ import EnvironVault

#: Asks a person, or a file, for a password; None: there is none.
Ask = Callable[[str], str | None]
#: Told of an instance how many databases were looked into, and of how many.
Seen = Callable[[str, int, int], None]

#: SCHEME://USER[:PASSWORD]@REST, or without a login.
_URL = re.compile(r"([a-z+]+)://(?:([^@/?#]*)@)?([^@]+)", re.DOTALL)
#: Seconds to connect: who looks for the first time waits for the answer.
_PATIENCE = 5.0
_IN_QUERY = re.compile(r"[?&][a-z]*password=", re.IGNORECASE)
_HINTS = {
    "auth": "check the user in the URL, and the password",
    "hba": "ask the server's operator to let this login in from here",
    "database": "name a database in the URL that there is",
    "tls": "compare the TLS options in the URL with the server's",
    "down": "check the address, and whether the server runs",
}
#: Where the login itself was answered, the server is the one that is meant.
_ANSWERED = frozenset({"auth", "hba", "database"})
#: Seconds for the question whose server it is.
_PROBE = 1.5


class Source(Struct, frozen=True):
    """A server to look at: the instance that it becomes, and how to log in."""

    name: str
    url: str
    """Without a password."""
    password: Secret | None = None

    @property
    def engine(self) -> AnyEngine:
        """Its engine, by the URL's scheme."""
        return registry.engine(_engine(self.url))

    @property
    def login(self) -> str:
        """Who logs in; empty: nobody is named."""
        found = _URL.fullmatch(self.url)
        return (found[2] or "") if found else ""


class Described(Struct, frozen=True):
    """What `init --from` saw, and the file that says so; nothing is written yet."""

    path: Path
    stack: Stack
    """Its name is another than the one asked for, where a stack of that name has logins there."""
    file: Text
    admins: Mapping[str, Secret]
    """Passwords of administrators, by the vault's names."""


def sources(given: Sequence[str], *, typed: bool) -> list[Source]:
    """URLs as instances. `typed`: they stood in the command line, where no password may be. Raises
    UsageError, which shows no password."""
    found: list[Source] = []
    for text in given:
        match = _URL.fullmatch(text.strip())
        engine = _engine(text) if match else ""
        if match is None or not engine:
            known = ", ".join(f"{s}://" for info in ENGINE_INFO.values() for s in info.schemes)
            # a line of standard input may be a password
            what = repr(_shown(text)) if typed else "a line of standard input"
            raise UsageError(f"{what} is not a URL of a server", f"it begins with {known}")
        scheme, login, rest = match[1], match[2] or "", match[3]
        if any(_host(one.url).lower() == _host(text.strip()).lower() for one in found):
            raise UsageError(f"{_shown(text)} is given twice", "give each server one URL")
        user, colon, password = login.partition(":")
        if _IN_QUERY.search(rest):
            raise UsageError(
                f"the URL {_shown(text)} has a password among its options",
                "leave it out: it is asked for",
            )
        if colon and typed:
            raise UsageError(
                f"the URL {_shown(text)} contains a password, which the shell's history and the "
                "process list now have",
                "leave it out: it is asked for; or pass URLs on standard input: --from -",
            )
        url = f"{scheme}://{user + '@' if user else ''}{rest}"
        found.append(
            Source(_free(engine, found), url, Secret(unquote(password)) if password else None)
        )
    return found


def with_passwords(
    found: Iterable[Source], ask: Ask, environ: Mapping[str, str]
) -> Iterator[Source]:
    """Each with its password: from the URL, the environment (MNGDB_SECRET_NAME_ADMIN), or whoever
    is asked. Raises SecretError."""
    there = EnvironVault(environ)
    for one in found:
        name = secret_name(one.name, "admin")
        entry = there.get_many([name]).get(name)
        secret = one.password or (entry.usable() if entry else None)
        info = ENGINE_INFO[_engine(one.url)]
        if secret is None and (one.login or not info.anonymous):
            who = f"{one.login} at {_host(one.url)}" if one.login else _host(one.url)
            text = ask(f"{info.title}: password of {who}")
            secret = Secret(text) if text else None
        yield replace(one, password=secret)


def describe(
    path: Path,
    name: str,
    servers: Sequence[Source],
    scripts: Sequence[Path],
    target: str,
    environ: Mapping[str, str],
    seen: Seen = lambda *_: None,
) -> Described:
    """Look at the servers and read the scripts. Raises UsageError, ConnectError,
    UnobservableError."""
    parts = [Part(one.name, one.url, _seen(name, one, partial(seen, one.name))) for one in servers]
    taken = [*servers]
    for script in scripts:
        engine, found = _script(script)
        part = Part(_free(engine, taken), "", found, script.name)
        taken.append(Source(part.name, ""))
        parts.append(part)
    file = written(_own_name(name, path, parts, environ), parts, target)
    stack = build(source.parse(file.text, str(path), {}), (path,))
    admins = {secret_name(one.name, "admin"): one.password for one in servers if one.password}
    return Described(path, stack, file, admins)


def write(
    found: Described, environ: Mapping[str, str], *, keep: bool = False
) -> dict[str, MngdbError]:
    """Keep the passwords of administrators and, with `keep`, those of apps that a script has; then
    write the file. The file is last: without it, the same command can be run again. Returns by
    name why an app's password was not kept. Raises UsageError, SecretError, OSError."""
    refuse_existing(found.path)
    context = Context.open(found.stack, environ)
    for name, secret in found.admins.items() if context.vault.writable else ():
        put(context, name, secret.reveal())
    refused: dict[str, MngdbError] = {}
    for name, secret in found.file.passwords.items() if keep else ():
        try:
            put(context, name, secret.reveal())
        except SecretError as error:
            refused[name] = error
    create(found.path, found.file.text)
    return refused


def name_here(path: Path, name: str, environ: Mapping[str, str]) -> str:
    """The stack's name: that of the folder's stack, where there is one already and no other name
    was asked for. Raises UsageError where another was."""
    folder = folder_of(path, environ)
    every = (one for _, one in records(home(environ)))
    here = next((o.name for o in every if (Path(o.project), o.file) == (folder, path.name)), name)
    if here != name and name != DEFAULT_STACK:
        hint = f"mngdb init --name {here}, or use another directory"
        raise UsageError(f"the stack of this folder is named {here!r}", hint)
    return here


def refuse_missing(scripts: Iterable[Path]) -> None:
    """Raises UsageError where one is no file: nobody is asked for a password in vain."""
    for path in scripts:
        if not path.exists():
            raise UsageError(f"{path} cannot be read: No such file or directory", _meant(str(path)))


def refuse_existing(path: Path) -> None:
    """Raises UsageError where the file is there, or has no directory: nobody is asked for a
    password in vain."""
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists already", "name another with -f")
    if not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: {path.parent} is not a directory", "create it")


def _own_name(name: str, path: Path, parts: Sequence[Part], environ: Mapping[str, str]) -> str:
    """The default name, or the folder's where another project's stack of that name has made logins
    on these servers: it is all that their marks say, and two stacks would close each other's."""
    taken = {stack for part in parts for stack in part.found.stacks}
    if name != DEFAULT_STACK or name not in taken:
        return name
    if locate(name, (path,), environ).kind != "new":
        return name  # the logins are this project's own
    folder = re.sub("[^a-z0-9]+", "-", folder_of(path, environ).name.lower())[:40].strip("-")
    more = (f"{name}{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (folder, *more) if one not in taken and _is_plain(one))


def _is_plain(name: str) -> bool:
    try:
        return check_plain(name) == name
    except ValueError:
        return False


def _seen(stack: str, one: Source, seen: Callable[[int, int], None]) -> FoundServer:
    """What is on a server. Raises ConnectError, UnobservableError."""
    part = Part(one.name, one.url, FoundServer())
    text = written(stack, [part], "").text
    try:
        instance = build(source.parse(text, one.name, {}), (Path(one.name),)).instances[one.name]
    except SpecError as error:
        why = error.message.partition(": ")[2].splitlines()[0]
        raise UsageError(f"{one.url!r} cannot be used: {why}", error.hint) from None
    secrets = {"admin": one.password} if one.password else {}
    engine = one.engine
    access = engine.external(DesiredInstance(stack, instance, secrets), one.url)
    try:
        with engine.connect(access, _PATIENCE) as session:
            found = engine.found(session, seen)
    except ConnectError as error:
        other = "" if error.kind in _ANSWERED else _other(access, engine)
        if other:
            text = f"{_host(one.url)} is a {other} server, not {engine.info.title}"
            raise ConnectError(text, "correct the URL") from None
        hint = _HINTS.get(error.kind, error.hint)
        if error.kind == "auth" and not access.user:
            hint = error.hint  # how the URL names one
        raise ConnectError(error.message, hint, error.kind) from None
    stake = engine.unverified(access)
    return replace(found, notes=(*found.notes, f"mend: {stake}")) if stake else found


def _other(at: Access, engine: AnyEngine) -> str:
    """Which engine's server answers there instead: one that refuses a stranger."""
    for other in registry.every():
        if other.info.name == engine.info.name:
            continue
        # who names nobody is refused, too, and no login that was refused stays in the server's log
        secret = None if other.info.nameless else generate()
        stranger = Access(other.info.name, at.host, at.port, "mngdb-probe", secret)
        try:
            with other.connect(stranger, _PROBE):
                return other.info.title
        except MngdbError as error:
            if isinstance(error, ConnectError) and error.kind in _ANSWERED:
                return other.info.title
    return ""


def _script(path: Path) -> tuple[str, FoundServer]:
    able = [engine for engine in registry.every() if engine.script is not None]
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{path} cannot be read: {why}", _meant(str(path))) from None
    engine = able[0]
    read = engine.script
    assert read is not None  # noqa: S101 - it is of those that have it
    return engine.info.name, read(text)


def _meant(text: str) -> str:
    """What helps with a word that is neither a URL nor a file: HOST:PORT is a server."""
    found = re.fullmatch(r"[\w.-]+:(\d+)(?:/.*)?", text)
    schemes = {str(one.port): one.schemes[0] for one in ENGINE_INFO.values()}
    if found and found[1] in schemes:
        return f"of a server: {schemes[found[1]]}://USER@{text}"
    every = ", ".join(f"{scheme}://USER@HOST" for scheme in schemes.values())
    return f"--from takes URLs ({every}) and SQL files"


def _engine(url: str) -> str:
    scheme = url.strip().partition("://")[0].lower()
    return next((i.name for i in ENGINE_INFO.values() if scheme in i.schemes), "")


def _free(engine: str, taken: Sequence[Source]) -> str:
    """The first server of an engine is its default instance, the others are numbered."""
    names = {one.name for one in taken}
    more = (f"{engine}{number}" for number in range(2, len(names) + 3))
    return next(name for name in (engine, *more) if name not in names)


def _host(url: str) -> str:
    found = _URL.fullmatch(url)
    return re.split("[/?#]", found[3])[0] if found else url


def _shown(url: str) -> str:
    """A URL without what may be a password."""
    bare = re.sub(r"(?<=://).*@", "…@", url.strip(), flags=re.DOTALL)
    return bare.partition("?")[0][:80]
