"""Opens a client of a server: one that is installed, or what mngdb has in its place."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic

from msgspec import Struct
from msgspec.structs import replace

from mngdb.engines.dialogue import Dialogue
from mngdb.engines.protocol import AnyEngine, S
from mngdb.errors import ConnectError, MngdbError, UsageError
from mngdb.model import Access, ShellCommand
from mngdb.ops.access import LOGIN
from mngdb.ops.context import Context
from mngdb.spec.problems import did_you_mean, none_named


class Conversation(Struct, Generic[S]):
    """What a person types to a server, where mngdb itself takes it."""

    dialogue: Dialogue[S]
    connect: Callable[[], AbstractContextManager[S]]
    """Gives a session that has proved to be with our server. Raises ConnectError."""
    statement: str | None
    """The one that the command line has; None: they are read from standard input."""


def shell(
    context: Context, instance: str, app: str | None, rest: tuple[str, ...]
) -> Conversation[Any]:
    """Become the instance's interactive client; returns the conversation that takes its place where
    none is installed. Raises UsageError where there is neither."""
    found = context.instance(instance)
    engine = context.engine(found)
    if app is None and rest and rest[0] in found.grants:
        app, rest = rest[0], rest[1:]
    asked = context.as_login(found, app or "admin", find=True)
    folder = asked.site.program.folder if asked.site else None
    access = context.public(asked, app)
    if asked.tunnel:
        access = replace(access, host="127.0.0.1", socket=None)
    command = engine.shell(access, folder)
    if app is None:
        command = command.guarded()

    @contextmanager
    def connect() -> Iterator[Any]:
        login = context.login(asked, app)
        with context.reach(found, admin=app is None), engine.connect(login, LOGIN) as session:
            yield session

    talk = _conversation(engine, access, rest, connect)
    if app is None and not (talk and talk.statement):
        _no_app(command, rest, [*found.grants])
    for_people = not rest or (talk is None and not command.words(rest)[0].startswith("-"))
    if app is None and found.grants and for_people and sys.stdin.isatty():
        context.warn(f"note: this is the administrator; an app: mngdb shell {instance} APP")
    if app is None and command.note and sys.stderr.isatty():
        context.warn(f"note: {command.note}")
    servers = context.target(found).servers
    if servers is not None:
        if servers.process(found.unit) is None:
            raise MngdbError(f"{found.unit} is not running", "'mngdb up' starts it")
        inside = servers.enter(found.unit, command, terminal=sys.stdin.isatty())
        if inside is not None and not (talk and talk.statement):
            env = {**os.environ, **context.environ, **command.env}
            os.execvpe(inside[0], [*inside, *command.words(rest)], env)  # noqa: S606
    return become(instance, engine, access, command, rest, connect)


def _no_app(command: ShellCommand, rest: tuple[str, ...], apps: list[str]) -> None:
    """Raises UsageError for a first word that is a mistyped app: the administrator would run it, or
    the client take it for a database, and the next word for its user."""
    word = rest[0] if rest else ""
    if not re.fullmatch(r"\w[\w-]*", word) or word.isupper() or word.lower() in command.verbs:
        return
    if command.words(rest) != rest:
        return  # a statement
    user = bool(command.statement and rest[1:] and not rest[1].startswith("-"))
    if user or did_you_mean(word, apps):
        raise none_named("app", word, apps)


def _conversation(
    engine: AnyEngine,
    access: Access,
    rest: tuple[str, ...],
    connect: Callable[[], AbstractContextManager[Any]],
) -> Conversation[Any] | None:
    """What mngdb itself takes of a person; None: the engine's own client is always there."""
    if engine.dialogue is None:
        return None
    talk = engine.dialogue(access.database, not rest and sys.stdin.isatty())
    return Conversation(talk, connect, talk.statement(rest))


def become(
    instance: str,
    engine: AnyEngine,
    access: Access,
    command: ShellCommand,
    rest: tuple[str, ...],
    connect: Callable[[], AbstractContextManager[Any]],
) -> Conversation[Any]:
    """Become a client that is installed here, after a login by `connect`: one of somebody else's
    making gives its password to whoever listens. Returns what takes its place where none is.
    Raises UsageError where there is neither, ConnectError."""
    talk = _conversation(engine, access, rest, connect)
    if talk is not None and talk.statement is not None:
        return talk
    client = command.programs
    # a client's own options begin with a dash: those are for the client
    if command.batch and not (rest[0].startswith("-") if rest else sys.stdin.isatty()):
        client = ((command.batch[0], command.batch[1:]),)
    programs = [(shutil.which(name), name, words) for name, words in client]
    for path, name, words in programs:
        if path:
            _known(connect)
            os.execve(path, [name, *words, *command.words(rest)], {**os.environ, **command.env})  # noqa: S606
    if talk is not None and not rest:
        return talk
    names = " or ".join(dict.fromkeys(os.path.basename(p) for p, _ in command.programs))  # noqa: PTH119
    raise UsageError(f"no client for {instance} is installed ({names})", command.install)


def _known(connect: Callable[[], AbstractContextManager[Any]]) -> None:
    """Log in and out. Raises ConnectError."""
    try:
        with connect():
            pass
    except ConnectError as error:
        if error.kind != "busy":  # the login was taken: what ends a script comes next
            raise
