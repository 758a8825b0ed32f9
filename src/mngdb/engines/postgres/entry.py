"""What keeps everybody out of a database. Pure; the steps run later, on a session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from psycopg.sql import SQL, Composed, Identifier

from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.facts import Database, Lockout
from mngdb.engines.postgres.roles import MakeStep
from mngdb.errors import StepError
from mngdb.model import Action, Step


class Statement(Protocol):
    """Makes a step of statements."""

    def __call__(
        self, action: Action, what: str, detail: str, *statements: Composed
    ) -> Step[Session]: ...


def reachable(
    statement: Statement, name: str, found: Database, *, ours: bool
) -> Iterator[Step[Session]]:
    """What the owner of a database may set to keep others out, or to have it passed over."""
    parts = []
    alter = SQL("ALTER DATABASE {} {}").format
    if not found.open:
        parts.append(("accept connections again", "ALLOW_CONNECTIONS true"))
    if ours and found.limit >= 0:
        parts.append((f"connection limit {found.limit} → none", "CONNECTION LIMIT -1"))
    if ours and found.template:
        parts.append(("no longer a template", "IS_TEMPLATE false"))
    orders = [alter(Identifier(name), SQL(option)) for _, option in parts]
    texts = [text for text, _ in parts]
    if ours and not found.let_in:
        texts.append(f"{found.owner} may connect")
        grant = SQL("GRANT CONNECT ON DATABASE {} TO {}")
        orders.append(grant.format(Identifier(name), Identifier(found.owner)))
    if orders:
        yield statement("change", f"database {name}", ", ".join(texts), *orders)


def if_there(statement: Composed) -> Composed:
    """A statement on a database that its app may drop meanwhile."""
    text = statement.as_string(None)
    return SQL("DO {}").format(f"BEGIN {text}; EXCEPTION WHEN invalid_catalog_name THEN NULL; END")


def opened(statement: Statement, name: str) -> Step[Session]:
    """A database that an app created and keeps everybody out of: nobody could look into it."""
    alter = SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(Identifier(name))
    return statement("change", f"database {name}", "accept connections again", if_there(alter))


def let_in(statement: Statement, found: Lockout) -> Step[Session]:
    """A setting with which no session begins goes back to the server's own."""
    role, database = Identifier(found.role), Identifier(found.database)
    if not found.role:
        target, what = SQL("DATABASE {}").format(database), f"database {found.database}"
    elif not found.database:
        target, what = SQL("ROLE {}").format(role), f"role {found.role}"
    else:
        target = SQL("ROLE {} IN DATABASE {}").format(role, database)
        what = f"role {found.role}"
    reset = SQL("ALTER {} RESET {}").format(target, Identifier(found.name))
    reset = if_there(reset) if found.database else reset
    return statement(
        "change", what, f"reset {found.name}, which blocks all logins: {found.why}", reset
    )


def unseen(make: MakeStep, what: str, why: str) -> Step[Session]:
    """A database that could not be looked into fails by itself, when its turn has come."""

    def fail(_: Session) -> None:
        raise StepError(
            f"{what} could not be inspected, so its rights were not changed: {why}",
            "'mngdb locks' shows who holds what; then run 'mngdb up' again",
        )

    return make("change", what, "its rights, once it can be inspected", fail)
