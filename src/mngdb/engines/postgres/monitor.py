"""The login that metrics are read by: pg_monitor, a few connections, no table of any app.

https://www.postgresql.org/docs/current/predefined-roles.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, LiteralString

from mngdb.engines import logins
from mngdb.model import DesiredInstance
from mngdb.spec.agent import MONITOR, TABLES_MAX
from mngdb.spec.postgres import PostgresGrant
from mngdb.spec.several import named

if TYPE_CHECKING:
    from mngdb.engines.postgres.client import Session
    from mngdb.engines.postgres.facts import Facts
    from mngdb.engines.postgres.roles import MakeStep
    from mngdb.model import Action, Step

#: One session, one look at a time into another database, and room for an exporter or a person.
CONNECTIONS = 10
_GROUP = "pg_monitor"
#: Since 16: it gets in when apps have taken all connections.
_RESERVED = "pg_use_reserved_connections"
_WHAT = f"role {MONITOR}"


def databases(asked: DesiredInstance) -> list[str]:
    """Databases of apps whose tables are counted: the first ones of the file."""
    grants = asked.instance.granted(PostgresGrant).values()
    return [name for name in named(grants) if name != "postgres"][:TABLES_MAX]


def shut_out(asked: DesiredInstance, facts: Facts) -> list[str]:
    """Databases that it cannot be let into: they are neither ours nor the administrator's."""
    if not asked.instance.monitored:
        return []
    return sorted({facts.main, *databases(asked)} & facts.not_ours - facts.monitored)


def steps(make: MakeStep, asked: DesiredInstance, facts: Facts) -> Iterator[Step[Session]]:
    """What the login needs, or its end where nobody wants it."""
    from psycopg.sql import SQL, Identifier, Literal

    from mngdb.engines.postgres import handover, roles, scram
    from mngdb.engines.postgres.facts import MONITOR_MARK

    found, name = facts.monitor, Identifier(MONITOR)
    login = roles.login_of(asked, MONITOR, found) if found else None
    mark = MONITOR_MARK + (logins.mark(asked, login) if login else asked.mark)
    if not asked.instance.monitored:
        fate = logins.unwanted(asked, login) if login else "leave"
        if fate == "drop" and found and (found.login or not found.owns):
            yield make("drop", _WHAT, "no metrics", lambda s: handover.drop_role(s, MONITOR))
        elif fate == "close":
            yield make("revoke", _WHAT, "no metrics", lambda s: handover.shut(s, MONITOR))
        return
    if login and logins.needs_consent(asked, login):
        yield logins.take_over(asked, login)
        return
    secret = asked.secrets[MONITOR]
    groups = _groups(asked, facts)
    grant = SQL("GRANT {} TO {}").format(SQL(", ").join(map(Identifier, groups)), name)
    comment = SQL("COMMENT ON ROLE {} IS {}").format(name, Literal(mark))
    limit = SQL("CONNECTION LIMIT {}").format(Literal(CONNECTIONS))
    if found is None:
        made = SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(
            name, limit, Literal(scram.verifier(secret))
        )
        statements = [made, grant, comment]
        if not facts.superuser:
            # who may make roles is not yet one who may end them
            statements.append(SQL("GRANT {} TO CURRENT_USER").format(name))
        yield make("create", _WHAT, "login, read metrics", lambda s: s.execute(*statements))
    else:
        parts = []
        if found.comment != mark:
            parts.append(("mark as this stack's", comment))
        if not found.login:
            parts.append(
                ("may log in again", SQL("ALTER ROLE {} LOGIN").format(name)),
            )
        if found.password is False:
            parts.append(("set the secret", roles.password(MONITOR, secret)))
        if found.connections != CONNECTIONS:
            parts.append(
                (f"connection limit {CONNECTIONS}", SQL("ALTER ROLE {} {}").format(name, limit))
            )
        if missing := [one for one in groups if one not in dict(found.member_of)]:
            parts.append((f"member of {', '.join(missing)}", grant))
        if parts:
            mend = [statement for _, statement in parts]
            text = ", ".join(text for text, _ in parts)
            yield make("change", _WHAT, text, lambda s: s.execute(*mend))
        extra = [(group, by) for group, by in found.member_of if group not in groups]
        yield from roles.excess(make, MONITOR, found.special, extra)
    yield from _doors(make, asked, facts)


def _groups(asked: DesiredInstance, facts: Facts) -> list[str]:
    recent = asked.managed and int(facts.version.partition(".")[0]) >= 16
    return [_GROUP, _RESERVED] if recent else [_GROUP]


def _doors(make: MakeStep, asked: DesiredInstance, facts: Facts) -> Iterator[Step[Session]]:
    """Which databases it may enter."""
    from psycopg.sql import SQL, Identifier

    wanted = dict.fromkeys((facts.main, *databases(asked)))
    # elsewhere, whether it was given this right or everybody has it is not ours to sort out
    left = sorted(facts.monitored - wanted.keys()) if asked.managed else []
    missing = [one for one in wanted if one not in facts.monitored | facts.not_ours]

    def change(action: Action, text: LiteralString, names: list[str]) -> Iterator[Step[Session]]:
        if names:
            orders = [SQL(text).format(Identifier(one), Identifier(MONITOR)) for one in names]
            detail = f"connect to {', '.join(names)}"
            yield make(action, _WHAT, detail, lambda s: s.execute(*orders))

    yield from change("revoke", "REVOKE CONNECT ON DATABASE {} FROM {}", left)
    yield from change("grant", "GRANT CONNECT ON DATABASE {} TO {}", missing)
