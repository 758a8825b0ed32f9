"""Logins and rights on a server of ours that the file does not name: told, and closed only when
the command names them. Pure; the steps run later, on a session."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from psycopg.sql import SQL, Identifier

from mngdb.engines import logins
from mngdb.engines.postgres import handover, system_rights
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.facts import Database, Facts, Outsider
from mngdb.engines.postgres.roles import MakeStep, login_of
from mngdb.model import DesiredInstance, Notice, Step
from mngdb.spec.agent import MONITOR
from mngdb.words import many

#: Logins that one step names.
_SHOWN = 10
#: What is so, and what can be done about it.
Advice = tuple[str, str]


def steps(make: MakeStep, asked: DesiredInstance, facts: Facts) -> Iterator[Step[Session]]:
    """The logins that the command names are closed. Password, rights and data stay as they are."""
    for one in facts.outsiders:
        if logins.unwanted(asked, _login(one, facts)) == "shut":
            detail = "it is not in the file; login disabled, what it owns is kept"

            def close(session: Session, name: str = one.name) -> None:
                handover.take(session, name, SQL("ALTER ROLE {} NOLOGIN").format(Identifier(name)))

            yield make("revoke", f"role {one.name}", detail, close)


def notices(asked: DesiredInstance, facts: Facts) -> Iterator[Notice]:
    """The others, with what they may do beyond any login; those of another project."""
    for one in facts.outsiders:
        login = _login(one, facts)
        if logins.unwanted(asked, login) == "report":
            powers = "; ".join(_powers(one, facts))
            reopen = f"ALTER ROLE {Identifier(one.name).as_string(None)} LOGIN reopens it"
            yield logins.reported(asked, login, powers, reopen=reopen)
    marked = {
        **facts.roles,
        **facts.namesakes,
        **({MONITOR: facts.monitor} if facts.monitor else {}),
    }
    yield from logins.namesakes(asked, (login_of(asked, *one) for one in marked.items()))


def _login(one: Outsider, facts: Facts) -> logins.Login:
    made = facts.namesakes.get(one.name)
    return logins.Login(one.name, made.mark if made else None)


def options(facts: Facts, ours: Collection[str]) -> Iterator[Advice]:
    """What others may pass on."""
    for name, found in facts.databases.items():
        for role, rights in _options(found, ours).items():
            yield (
                f"{role} may pass on rights in the database {name}: {rights}",
                f"there: REVOKE GRANT OPTION FOR PRIVILEGE ON OBJECT FROM {role} CASCADE",
            )


def refused(name: str, owner: str, found: Database, ours: Collection[str]) -> Iterator[Advice]:
    """Tables in the database of `owner` that it may not work with, and that belong to others."""
    for other, count in sorted(found.inside.refused.items() if found.inside else ()):
        if other not in ours:
            tables = many(count, "table")
            yield (
                f"{owner} cannot work with {tables} of {other} in its database {name}",
                f"in that database: REASSIGN OWNED BY {other} TO {owner}, or GRANT",
            )


def locked_out(found: Database, users: Collection[str]) -> str:
    """Who uses a database of an adopted server by PUBLIC's right to connect, and is given none of
    its own as its `users` are."""
    every = found.inside.by_public if found.inside else ()
    others = [name for name in every if name not in users]
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return f"; that locks out {', '.join(others[:_SHOWN])}{more}" if others else ""


def _powers(one: Outsider, facts: Facts) -> Iterator[str]:
    if one.special:
        yield " ".join(one.special)
    if one.groups:
        more = f" and {len(one.groups) - 3} more" if len(one.groups) > 3 else ""
        yield f"member of {', '.join(one.groups[:3])}{more}"
    if one.owns:
        yield f"owns {', '.join(one.owns)}"
    places = [("", facts.system)]
    places += [(f" in {n}", d.inside.system) for n, d in facts.databases.items() if d.inside]
    for where, rights in places:
        found = [right for right in rights if right.to in {one.name, *one.groups}]
        if found:
            yield system_rights.said(found) + where


def _options(found: Database, ours: Collection[str]) -> dict[str, str]:
    """Role to what it may pass on, but for the stack's own, whose options are revoked."""
    words: dict[str, list[str]] = {}
    for role, privilege in sorted(found.granted):
        if privilege.endswith("*"):
            words.setdefault(role, []).append(f"{privilege[:-1].lower()} on the database")
    inside = found.inside
    for (kind, role, privilege), count in sorted(inside.granted.items() if inside else ()):
        if privilege.endswith("*"):
            words.setdefault(role, []).append(f"{privilege[:-1].lower()} on {many(count, kind)}")
    return {role: ", ".join(texts) for role, texts in words.items() if role not in ours}
