"""How apps and people reach the databases: connection strings, shells, diagnosis."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from msgspec.structs import replace

from mngdb.engines.protocol import C, Engine, F, S
from mngdb.errors import (
    ConnectError,
    Kind,
    LackingError,
    MngdbError,
    SecretError,
    UnobservableError,
    UnreachableError,
)
from mngdb.facts.denied import Denials, hints, tells, told
from mngdb.facts.doctor import LACKS, Diagnosis
from mngdb.facts.locks import WAITED
from mngdb.model import DesiredInstance, Notice, Step
from mngdb.ops import denied, probes
from mngdb.ops.context import Context
from mngdb.secret import app_of
from mngdb.spec.engine_info import bare_login
from mngdb.spec.stack import Instance, secret_name
from mngdb.targets.process import log_messages, machine
from mngdb.words import many

#: Apps of one instance that are tried at the same time.
_THREADS = 8
#: Lines of a log that tell why a server does not write.
_LOG = 200
#: What it may lack, to the kind of the cause and what helps.
_LACKS: dict[int, tuple[Kind, str]] = {
    errno.ENOSPC: ("disk", "free space on the disk of its data folder"),
    errno.ENOMEM: (
        "memory",
        "its disk has room: free memory on the host, or set vm.overcommit_memory = 1 (sysctl)",
    ),
    errno.EAGAIN: ("memory", "its account may start no more processes: raise that limit (nproc)"),
    errno.EACCES: ("disk", "let {account} write to {data} again (chmod, chown)"),
}
#: What a plan says of a login that keeps it out, to that as the state it is in. First the secret:
#: with one that the server does not know, a rotation's other login is taken, which is disabled.
_EXPIRES = "does not expire"
_CLOSED = {
    "secret": "the secret of {login} in the vault is not the one on the server",
    "may log in again": "the login {login} is disabled on the server",
    _EXPIRES: "the login {login} has expired on the server",
}
#: Seconds for the login that goes before a client's own.
LOGIN = 5.0


def url(context: Context, instance: str, app: str | None) -> str:
    """The connection string of an app, or of the administrator."""
    found = context.instance(instance)
    asked = context.as_login(found, app or "admin")
    return context.engine(found).url(context.public(asked, app))


def doctor(context: Context, app: str) -> list[Diagnosis]:
    """Do what the app does, with what `env` gives it, and say what is wrong."""
    return [_of_app(context, one, app) for one in context.app(app)]


def _of_app(context: Context, instance: Instance, app: str) -> Diagnosis:
    engine = context.engine(instance)
    wrong = _rehearsed(context, instance, engine, [app]).get(app)
    found = wrong or examine(context, instance, app)
    works = found.problem is None or found.kind == LACKS
    return _beyond(context, engine, found, instance) if works else found


def _beyond(
    context: Context, engine: Engine[S, F, C], found: Diagnosis, instance: Instance
) -> Diagnosis:
    """With what the app's own work did not meet, since it touches nothing of the app's: its
    sessions wait for a lock, the server has refused them something."""
    waits: list[float] = []
    try:
        context.secret(instance, "admin")
        asked = context.asked(instance, find=False, invent=True)
        with context.reach(instance), engine.connect(context.admin(asked), LOGIN) as session:
            if engine.locks is not None:
                every = engine.locks(session, asked)
                waits = [
                    one.waiting for one in every if app_of(one.app) == found.app and one.waiting
                ]
            seen = denied.look(context, engine, session, asked)
            if seen.unseen:
                found = replace(found, unseen=f"{instance.name}: {seen.unseen}")
    except UnobservableError as error:
        found, seen = replace(found, unseen=denied.unseen(instance, error)), Denials()
    except SecretError as error:
        return replace(found, unknown=denied.unseen(instance, error))
    except MngdbError:
        return found  # what the app sees itself is all that is known
    longest = max(waits, default=0.0)
    if longest >= WAITED:
        text = f"{many(len(waits), 'session')} of {found.app} waiting for a lock for up to "
        return replace(
            found, problem=f"{text}{longest:.0f} s", hint="'mngdb locks' shows who holds it"
        )
    found = replace(found, denied=tuple(one for one in seen.found if one.app == found.app))
    if all(one.over for one in found.denied):
        nobodys = tuple(one for one in seen.found if one.nameless and not one.over)
        return replace(found, nameless=nobodys)
    now = [one for one in found.denied if not one.over and not one.mild]
    if not now:
        return found
    text = f"the login works, but the server refused the app: {told(now)}"
    if tells(now, found.problem):
        return replace(found, problem=text, hint=hints(now))
    # what the server lacks is less than what it refuses
    problem, hint = ("; ".join(filter(None, (text, found.problem))), hints(now))
    return replace(found, problem=problem, hint="\n".join(filter(None, (hint, found.hint))))


def logins(context: Context, instance: Instance) -> tuple[Diagnosis, ...]:
    """Do what each app of an instance does there, several at a time. Left out are those whose
    passwords others set and the vault does not have."""
    apps = [app for app in instance.grants if app not in context.unknown(instance)]
    if not apps:
        return ()
    found = _rehearsed(context, instance, context.engine(instance), apps)
    others = [app for app in apps if app not in found]
    with context.reach(instance), ThreadPoolExecutor(min(_THREADS, len(apps))) as pool:
        found |= zip(others, pool.map(partial(examine, context, instance), others), strict=True)
    return tuple(found[app] for app in apps)


def _rehearsed(
    context: Context, instance: Instance, engine: Engine[S, F, C], apps: Sequence[str]
) -> dict[str, Diagnosis]:
    """Apps with wrong rights or another password, as far as the administrator can tell: the server
    notes no refusal of theirs."""
    found: dict[str, Diagnosis] = {}
    try:
        context.secret(instance, "admin")
        asked = context.asked(instance, find=False, invent=True)
        with context.reach(instance), engine.connect(context.admin(asked), LOGIN) as session:
            if engine.rehearse is not None:
                wrong = engine.rehearse(session, asked)
                found = {
                    app: Diagnosis(instance.name, app, text, "mngdb up")
                    for app, text in wrong.items()
                }
            if instance.managed and not instance.adopt:
                asked = context.asked(instance, invent=True)
                steps = engine.reconcile(asked, engine.observe(session, asked, logins=True)).steps
                for app in apps:
                    if why := _shut_out(context, instance, asked, app, steps):
                        found[app] = Diagnosis(instance.name, app, why, "mngdb up", "auth")
    except MngdbError:
        pass  # what the apps meet themselves is all that is known
    return found


def _shut_out(
    context: Context,
    instance: Instance,
    asked: DesiredInstance,
    app: str,
    steps: Iterable[Step[Any]],
    *,
    refused: bool = False,
) -> str:
    """Why an app's login cannot succeed, as what `up` would do about it tells; empty: it does
    not. `refused`: it did not, so that what may come to an end has come to it."""
    try:
        context.secret(instance, app)
    except SecretError:
        return ""  # told when it is to be used
    login = context.login(asked, app).user
    mine = [step for step in steps if bare_login(step.object) == login]
    if any(step.action == "create" for step in mine):
        return f"there is no login {login} in {instance.name}"
    changes = ", ".join(step.detail for step in mine if step.action == "change")
    for part, why in _CLOSED.items():
        if part in changes and (refused or part != _EXPIRES):
            return why.format(login=login)
    return ""


def shut_out(context: Context, done: Iterable[Step[Any]]) -> list[Notice]:
    """Apps for which these steps were taken on servers of others and that cannot use them all the
    same: their pg_hba.conf, say, is their operator's."""
    found = []
    for name, app in dict.fromkeys((step.instance, step.app) for step in done if step.app):
        instance = context.stack.instances.get(name)
        if instance is None or instance.managed or instance.hosted or app not in instance.grants:
            continue
        if app not in context.unknown(instance):
            seen = examine(context, instance, app)
            if seen.problem:
                text = f"{app} cannot use {name}: {seen.problem}"
                found.append(Notice(name, text, seen.hint or ""))
    return found


def examine(context: Context, instance: Instance, app: str) -> Diagnosis:
    """Do what an app does in one instance."""
    begun = time.time()
    found = _examined(context, instance, app)
    if found.problem is not None:
        probes.note(context.stack.state, instance, begun, app)
    return found


def _examined(context: Context, instance: Instance, app: str) -> Diagnosis:
    try:
        wrong = _problem(context, instance, app)
        return Diagnosis(instance.name, app, wrong, "mngdb up" if wrong else None)
    except ConnectError as error:
        return Diagnosis(instance.name, app, error.message, error.hint, error.kind)
    except SecretError as error:
        return Diagnosis(instance.name, app, error.message, error.hint, "secret")
    except UnreachableError as error:
        return Diagnosis(instance.name, app, error.message, error.hint, "unreachable")
    except MngdbError as error:
        kind = LACKS if isinstance(error, LackingError) else ""
        return Diagnosis(instance.name, app, error.message, error.hint, kind)


def _problem(context: Context, instance: Instance, app: str) -> str | None:
    """What is wrong behind the login. Raises ConnectError when that does not succeed."""
    asked = context.as_login(instance, app)  # no secret of others matters to it
    engine = context.engine(instance)
    try:
        with context.reach(instance, admin=False):
            return engine.diagnose(context.login(asked, app), asked, app)
    except ConnectError as error:
        if error.kind == "auth":
            raise _refused(context, instance, app, error) from None
        target = context.target(instance)
        state = target.servers.state(instance.unit) if target.servers else "running"
        if error.kind == "disk":
            raise from_log(context, instance, error) from None
        if error.kind != "down" or state == "running":
            raise target.explained(instance, error) from None
        text = f"{instance.unit} is not running ({state})"
        obstacle = context.obstacle(instance)
        if obstacle is not None:
            raise ConnectError(f"{text}: {obstacle.message}", obstacle.hint, "down") from None
        raise ConnectError(text, "mngdb up", "down") from None


def from_log(context: Context, instance: Instance, error: ConnectError) -> ConnectError:
    """What keeps a server from writing, as its log tells: a disk may be full, memory missing."""
    servers = context.target(instance).servers
    found = log_messages.failure(servers.log(instance.unit).last(_LOG)) if servers else None
    if found is None:
        return error
    line, code = found
    kind, helps = _LACKS.get(code, (error.kind, ""))
    what = os.strerror(code)
    # a line of JSON says it in a long one
    said = what if line.startswith("{") else line
    text = error.message if what in error.message else f"{error.message}; log: {said}"
    if code == errno.EACCES:
        helps = helps.format(**_place(context, instance))
    return ConnectError(text, helps or error.hint, kind)


def _place(context: Context, instance: Instance) -> dict[str, str]:
    """The account that a server runs as, and its data folder, for people."""
    outside, account, data = context.target(instance).outside, "its account", "its data folder"
    with suppress(MngdbError):
        if outside is not None and instance.here:
            data = outside.disk(instance).path
            server = outside.server(instance)
            account = machine.name_of(server.uid) if server else account
    return {"account": account, "data": data}


def _refused(context: Context, instance: Instance, app: str, error: ConnectError) -> ConnectError:
    """A server tells strangers nothing of its roles; the administrator's plan knows the cause."""
    try:
        asked = context.asked(instance, invent=True)
        converger = context.target(instance).converger(asked, lambda _: None)
        if instance.adopt and app in converger.kept():
            hint = f"mngdb secret set {secret_name(instance, app)} stores the one that it has"
            return ConnectError(error.message, hint, "auth")
        steps = converger.survey().steps
    except MngdbError:
        return error  # what the app was told is all that is known
    why = _shut_out(context, instance, asked, app, steps, refused=True)
    return ConnectError(why, "mngdb up", "auth") if why else error
