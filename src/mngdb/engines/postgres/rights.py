"""Rights inside one database: schemas, tables, sequences, extensions. Pure.

An owner needs nothing here: since PostgreSQL 15 the schema `public` belongs to the database's
owner. Others get rights on what is there and, by default privileges, on what the owner adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from psycopg import sql
from psycopg.sql import SQL, Identifier

from mngdb.engines.postgres import client
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.observe import NEW, Database, Inside, Role
from mngdb.model import Action, Step
from mngdb.spec.postgres import PostgresGrant

MakeStep = Callable[[Action, str, str, Callable[[Session], None]], Step]

#: Access to the privileges on each kind of object.
_WANTED: dict[str, dict[str, frozenset[str]]] = {
    "owner": {"schema": frozenset(), "table": frozenset(), "sequence": frozenset()},
    "readwrite": {
        "schema": frozenset({"USAGE"}),
        "table": frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"}),
        "sequence": frozenset({"SELECT", "USAGE"}),
    },
    "readonly": {
        "schema": frozenset({"USAGE"}),
        "table": frozenset({"SELECT"}),
        "sequence": frozenset({"SELECT"}),
    },
    "none": {"schema": frozenset(), "table": frozenset(), "sequence": frozenset()},
}
_ON_DATABASE = {
    "owner": frozenset[str](),
    "readwrite": frozenset({"CONNECT", "TEMPORARY"}),
    "readonly": frozenset({"CONNECT"}),
    "none": frozenset[str](),
}


def steps(
    make: MakeStep,
    name: str,
    owner: str | None,
    users: Mapping[str, PostgresGrant],
    found: Database,
    roles: Mapping[str, Role],
) -> Iterator[Step]:
    """Grants and revokes in the database `name`, for every role that is ours."""
    inside = found.inside or NEW.inside
    if inside is None:
        raise ValueError("a database without facts")
    what = f"database {name}"
    everybody = [p for (kind, who, p) in inside.granted if kind == "schema" and not who]
    if "CREATE" in everybody:
        shut = SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC").format()
        yield make("revoke", what, "everybody's right to make tables in public", _in(name, shut))
    wanted_extensions = {e for grant in users.values() for e in grant.extensions}
    for extension in sorted(wanted_extensions - inside.extensions):
        install = SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(Identifier(extension))
        yield make(
            "create", f"extension {extension}", f"in the database {name}", _in(name, install)
        )
    if owner:
        for before in sorted(set(inside.owners) & (set(roles) - {owner})):
            hand = SQL("REASSIGN OWNED BY {} TO {}").format(Identifier(before), Identifier(owner))
            text = f"{inside.owners[before]} objects of {before} → {owner}"
            yield make("grant", what, text, _in(name, hand))
    future = owner or found.owner
    for app in sorted({*users, *roles}):
        access = users[app].access if app in users else "none"
        yield from _for_app(make, name, app, access, future, found, inside)


def _for_app(
    make: MakeStep, name: str, app: str, access: str, owner: str, found: Database, inside: Inside
) -> Iterator[Step]:
    who, what = Identifier(app), f"database {name}"
    give, take, gained, lost = [], [], set(), set()
    if app != found.owner and app != owner:
        has = {privilege for grantee, privilege in found.granted if grantee == app}
        on = SQL("DATABASE {}").format(Identifier(name))
        _differ(_ON_DATABASE[access], has, on, who, give, take, gained, lost)
    for kind, wanted in _WANTED[access].items():
        total = inside.totals.get(kind, 0)
        counts = {
            privilege: count
            for (of, grantee, privilege), count in inside.granted.items()
            if of == kind and grantee == app
        }
        missing = {p for p in wanted if counts.get(p, 0) < total}
        excess = set(counts) - wanted
        for words, verb, target, said in (
            (missing, "GRANT {} ON {} TO {}", give, gained),
            (excess, "REVOKE {} ON {} FROM {}", take, lost),
        ):
            if words:
                said |= {f"{p.lower()} on {kind}s" for p in words}
                target.append(_everywhere(verb, words, kind, who))
        default = {
            p
            for (by, of, grantee, p) in inside.defaults
            if of == kind and grantee == app and by == owner
        }
        if wanted - default:
            gained.add(f"new {kind}s")
            give.append(_default("GRANT {} ON {} TO {}", wanted, kind, who, owner))
        if default - wanted:
            lost.add(f"new {kind}s")
            take.append(_default("REVOKE {} ON {} FROM {}", default - wanted, kind, who, owner))
    if take:
        yield make("revoke", what, f"{app}: {_joined(lost)}", _in(name, *take))
    if give:
        yield make("grant", what, f"{app}: {access} ({_joined(gained)})", _in(name, *give))


def _differ(
    wanted: frozenset[str],
    has: set[str],
    on: sql.Composed,
    who: Identifier,
    give: list[sql.Composed],
    take: list[sql.Composed],
    gained: set[str],
    lost: set[str],
) -> None:
    if wanted - has:
        give.append(SQL("GRANT {} ON {} TO {}").format(_words(wanted - has), on, who))
        gained |= {word.lower() for word in wanted - has}
    if has - wanted:
        take.append(SQL("REVOKE {} ON {} FROM {}").format(_words(has - wanted), on, who))
        lost |= {word.lower() for word in has - wanted}


def _joined(words: set[str]) -> str:
    return ", ".join(sorted(words))


def _words(privileges: set[str] | frozenset[str]) -> sql.Composed:
    # privilege words come from the table above and from pg_catalog, never from the file
    return SQL(", ").join(SQL(word) for word in sorted(privileges))  # type: ignore[arg-type]


def _everywhere(verb: str, privileges: set[str], kind: str, who: Identifier) -> sql.Composed:
    """On every object of a kind. Schemas have no ALL form: a DO block visits them."""
    words = _words(privileges)
    if kind != "schema":
        on = SQL("ALL TABLES IN SCHEMA" if kind == "table" else "ALL SEQUENCES IN SCHEMA")
        inner = SQL(verb).format(words, SQL("{} %I").format(on), who)  # type: ignore[arg-type]
    else:
        inner = SQL(verb).format(words, SQL("SCHEMA %I"), who)  # type: ignore[arg-type]
    return SQL("DO {}").format(sql.Literal(_loop(inner)))


def _loop(inner: sql.Composed) -> str:
    text = inner.as_string(None).replace("'", "''")
    return (
        "DECLARE s text; BEGIN FOR s IN SELECT n.nspname FROM pg_namespace n "
        "WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' "
        "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass "
        "AND d.objid = n.oid AND d.deptype = 'e') "
        f"LOOP EXECUTE format('{text}', s); END LOOP; END"
    )


def _default(
    verb: str, privileges: set[str] | frozenset[str], kind: str, who: Identifier, owner: str
) -> sql.Composed:
    kinds = {"schema": "SCHEMAS", "table": "TABLES", "sequence": "SEQUENCES"}
    rule = SQL(verb).format(_words(privileges), SQL(kinds[kind]), who)  # type: ignore[arg-type]
    return SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} {}").format(Identifier(owner), rule)


def _in(database: str, *statements: sql.Composed) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        with session.inside(database) as connection:
            client.execute(connection, *statements)

    return run
