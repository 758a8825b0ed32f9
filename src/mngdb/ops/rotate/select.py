"""Which passwords are rotated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mngdb.errors import UsageError
from mngdb.ops.context import Context
from mngdb.ops.rotate.note import ADMIN
from mngdb.ops.rotate.work import Login
from mngdb.spec.agent import MONITOR
from mngdb.spec.file import Rotation
from mngdb.spec.stack import Instance

#: Seconds that sessions of the old password are waited for, where the file says nothing.
GRACE = Rotation.model_fields["grace"].default.total_seconds()


def grace(context: Context) -> float:
    """Seconds that sessions of the old password are waited for."""
    rotation = context.stack.source.rotate
    return GRACE if rotation is None else rotation.grace.total_seconds()


def select(
    context: Context, apps: Sequence[str], *, admin: bool, monitor: bool, only: Sequence[str]
) -> list[Login]:
    """The logins of these apps, of administrators and of the monitor, on all instances or on `only`
    some. Of servers that somebody else runs the administrator is taken only where the instance is
    named. Raises UsageError for an app or an instance that there is not, for an administrator that
    clients share, and where nothing is left."""
    instances = [context.instance(name) for name in only] or [*context.stack.instances.values()]
    for app in apps:
        if app not in context.stack.apps and (meant := _meant(context, app)):
            raise UsageError(f"no app named {app!r}", meant)
        context.app(app)
    found = []
    for one in instances:
        if admin and not one.anonymous and (_ours(one) or only):
            if one.shares_admin:
                raise UsageError(
                    f"the administrator of {one.name} is the login of every client that names no "
                    "user: with another password, all of these would be refused",
                    "ask its operator for a login of mngdb's own, and name it in the url",
                )
            found.append(Login(one, ADMIN))
        if monitor and one.monitored:
            found.append(Login(one, MONITOR))
        found += [Login(one, app) for app in apps if app in one.grants]
    if not found:
        names = ", ".join(apps) or "that login"
        hint = "see 'apps' and 'instances' in the file"
        if admin and not only:
            hint = "name an external server: mngdb rotate --admin --instance NAME"
        raise UsageError(f"no password of {names} to rotate there", hint)
    return found


def _meant(context: Context, word: str) -> str | None:
    """The command for a word that is not an app, but has a meaning."""
    if word in {"all", "monitor", ADMIN}:
        return f"mngdb rotate --{word}"
    if word == "jwt":
        return "mngdb secrets rotate jwt"
    if word in context.stack.instances:
        return f"mngdb rotate --all --instance {word}"
    return None


def due(context: Context, now: float) -> list[Login]:
    """The logins whose passwords are older than the file allows; one of unknown age is not. Raises
    SecretError."""
    rotation = context.stack.source.rotate
    if rotation is None or not context.vault.writable:
        return []
    every = [one for found in context.stack.instances.values() for one in _scheduled(found)]
    entries = context.vault.get_many([one.secret for one in every])
    limit = now - rotation.every.total_seconds()

    def old(one: Login) -> bool:
        entry = entries.get(one.secret)
        return entry is not None and entry.changed is not None and entry.changed < limit

    return [one for one in every if old(one)]


def _scheduled(instance: Instance) -> Iterator[Login]:
    """The logins of an instance that a schedule is for."""
    if _ours(instance):
        yield Login(instance, ADMIN)
    if instance.monitored:
        yield Login(instance, MONITOR)
    yield from (Login(instance, app) for app in instance.grants)


def _ours(instance: Instance) -> bool:
    """Whether its administrator is one that mngdb made."""
    return instance.managed or instance.hosted
