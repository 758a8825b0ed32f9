"""What old passwords opened: counted while it is waited for, and ended with them."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mngdb import stopping
from mngdb.facts.sessions import OneSession
from mngdb.model import Access, DesiredInstance
from mngdb.ops.context import Context
from mngdb.ops.rotate.note import ADMIN, Entry
from mngdb.secret import SECOND, login_of
from mngdb.spec.stack import Instance

#: Seconds for a login.
LOGIN = 10.0
#: Seconds in which what is short ends by itself, before what may be a new password's is ended.
_SHORT = 1.0


def old(context: Context, instance: Instance, some: Sequence[Entry]) -> dict[str, int]:
    """How many sessions old passwords opened, by the vault's names. Raises ConnectError,
    UnobservableError."""
    asked = context.asked(instance, find=False, only=[one.login for one in some])
    engine = context.engine(instance)
    with _as_admin(context, asked) as (session, _):
        every = engine.sessions(session, asked).sessions

    def of(one: Entry) -> list[OneSession]:
        if not engine.info.one_password:
            mine = [s for s in every if s.app == one.login and not _of_before(s, one)]
            return [s for s in mine if one.passed() < (s.age or 0.0)]
        current = login_of(one.login, asked.secrets[one.login])
        other = {one.login, one.login + SECOND} - {current}
        return [s for s in every if s.app in other]

    return {one.secret: len(of(one)) for one in some}


def end_doubtful(context: Context, instance: Instance, apps: Sequence[Entry]) -> None:
    """Where a server does not tell which of two passwords opened a session, all that are there when
    the old one has just been withdrawn may be its own: they end, and apps open others. Elsewhere
    the old logins were closed, which ends theirs. Raises ConnectError, UnobservableError."""
    engine = context.engine(instance)
    due = [one for one in apps if one.published is not None]
    if engine.info.one_password or engine.hang_up is None or not due:
        return
    asked = context.asked(instance, find=False, only=[one.login for one in due])
    with _as_admin(context, asked) as (session, _):
        every = engine.sessions(session, asked).sessions
        if not all(one.now for one in due):
            stopping.sleep(_SHORT)
        for one in due:
            ids = [s.id for s in every if s.app == one.login and not _of_before(s, one)]
            engine.hang_up(session, one.login, ids)


def end_others(context: Context, asked: DesiredInstance, logins: Collection[str]) -> None:
    """End what the administrator or the monitor has open, but our own session. Raises MngdbError
    where the server does not allow that."""
    engine = context.engine(asked.instance)
    if engine.hang_up is None:
        return
    with _as_admin(context, asked) as (session, admin):
        # the administrator last: it may be our own session that ends then
        for login in sorted(logins, key=lambda login: login == ADMIN):
            access = admin if login == ADMIN else engine.login(asked, admin, login)
            engine.hang_up(session, access.user, None)


def _of_before(session: OneSession, one: Entry) -> bool:
    """Whether a session is older than a password that is given up again: then it belongs to the one
    of before, which is the current one. Ages are in whole seconds: in doubt it is not."""
    since = math.inf if one.until is None else time.time() - one.until
    return session.age is not None and session.age > since


@contextmanager
def _as_admin(context: Context, asked: DesiredInstance) -> Iterator[tuple[Any, Access]]:
    admin = context.admin(asked)
    engine = context.engine(asked.instance)
    with context.reach(asked.instance), engine.connect(admin, LOGIN) as session:
        yield session, admin
