"""Rights inside one database: schemas, tables, sequences, extensions. Pure.

An owner needs nothing here: since PostgreSQL 15 the schema `public` belongs to the database's
owner. Others get rights on what is there and, by default privileges, on what the owner adds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace
from psycopg import sql
from psycopg.sql import SQL, Identifier

from mngdb import data
from mngdb.engines.postgres import client, handover
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.facts import Database, Inside
from mngdb.engines.postgres.roles import MakeStep
from mngdb.model import Step, about
from mngdb.secret import app_of
from mngdb.spec.postgres import PostgresGrant
from mngdb.words import many

#: Its functions are its owner's by what the owner of the database lets it be.
_OF_THE_OWNER = "pg_database_owner"
#: What runs by itself with the rights of whoever owns or uses it, in words.
_CODE = {
    "function": "function",
    "view": "view",
    "rule": "rule",
    "policy": "row-level security check",
    "expression": "SQL-running expression",
}

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


class _Differences(Struct):
    """What to grant and to revoke, as statements and as words."""

    give: list[sql.Composed] = field(default_factory=list)
    take: list[sql.Composed] = field(default_factory=list)
    gained: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


def steps(
    make: MakeStep,
    name: str,
    owner: str | None,
    users: Mapping[str, PostgresGrant],
    found: Database,
    ours: Collection[str],
    *,
    everybody: bool,
) -> Iterator[Step[Session]]:
    """Grants and revokes in the database `name`. `ours`: every role that this stack made;
    `everybody`: whether PUBLIC's rights are ours to take."""
    inside = found.inside or Inside(totals={"schema": 1})
    what = f"database {name}"
    asking = {extension: app for app, grant in users.items() for extension in grant.extensions}
    for extension in sorted(asking.keys() - inside.extensions):
        install = SQL(
            "SET LOCAL search_path = public; CREATE EXTENSION IF NOT EXISTS {} CASCADE"
        ).format(Identifier(extension))
        text = f"in the database {name}"
        step = make("create", f"extension {extension}", text, within(name, install))
        yield replace(step, app=asking[extension])
    if owner:
        for before in sorted(inside.owners.keys() & {*ours} - {owner}):
            code = "" if app_of(before) == owner else foreign_code(inside, before, owner)
            text = f"{inside.owners[before]} objects of {before} → {owner}{code}"
            stays = keeping(name, app_of(before), users)
            run = handover.from_role(name, before, owner, stays)
            step = make("grant", what, text, run)
            yield replace(step, destructive=bool(code))
    future = owner or found.owner
    holders = {who for who, _ in found.granted} | {who for _, who, _ in inside.granted}
    holders |= {who for *_, who, _ in inside.defaults}
    for app in sorted({*users, *holders.intersection(ours)}):  # the rest have nothing to lose
        access = users[app].access if app in users else "none"
        yield from about(_for_app(make, name, app, access, future, found, inside), app_of(app))
    if everybody:
        yield from _for_app(make, name, "", "none", future, found, inside)


def foreign_code(inside: Inside | None, before: str, owner: str) -> str:
    """What will run with the rights of `owner` although `before` wrote it, in words: a trigger, a
    rule or an expression when the owner writes, a view when it reads, an index expression when the
    server analyzes its table. '' where nothing does: what PostgreSQL brings itself does nothing on
    its own, but for the functions that run SQL given as text."""
    code = inside.code if inside else {}

    def count(kind: str) -> int:
        return sum(code.get((who, kind), 0) for who in {before, _OF_THE_OWNER} - {owner})

    parts = [many(count(kind), word) for kind, word in _CODE.items() if count(kind)]
    if not parts:
        return ""
    triggers = code.get((before, "trigger"), 0)
    if triggers and count("function"):
        parts.append(many(triggers, "trigger"))
    text = f"; code of {before} will run with the rights of {owner}: {', '.join(parts)}"
    if definers := code.get((before, "definer"), 0):
        text += f"; SECURITY DEFINER is removed from {many(definers, 'function')}"
    return text


def keeping(name: str, app: str, users: Mapping[str, PostgresGrant]) -> handover.Stays | None:
    """What `app` keeps in the database `name` while it and what is in it change hands; None: it
    keeps nothing."""
    access = users[app].access if app in users else "none"
    on_database, on = _ON_DATABASE[access], SQL("DATABASE {}").format(Identifier(name))
    if not on_database:
        return None
    grants = {
        kind: SQL("GRANT {} ON %s TO {}").format(_words(privileges), _who(app))
        for kind, privileges in _WANTED[access].items()
    }
    every = {kind: _everywhere(statement, kind) for kind, statement in grants.items()}
    return handover.Stays(
        app,
        _words(_WANTED[access]["table"]).as_string(None),
        _words(_WANTED[access]["sequence"]).as_string(None),
        SQL("GRANT {} ON {} TO {}").format(_words(on_database), on, _who(app)),
        every["schema"],
        tuple(every.values()),
    )


def left(make: MakeStep, name: str, app: str, found: Database) -> Iterator[Step[Session]]:
    """An app that uses another database now: this one is closed to it, what is in it stays."""
    differ = _Differences()
    _on_database(differ, name, app, "none", found)
    if differ.take:
        yield make(
            "revoke",
            f"database {name}",
            f"{app}: {_joined(differ.lost)}",
            # what it may do in there is not looked at: no session of it is left there
            lambda session: handover.take(session, app, *differ.take, ends=name),
        )


def connecting(
    make: MakeStep, name: str, app: str, access: str, found: Database
) -> Iterator[Step[Session]]:
    """What an app that does not own a database has to be given to connect to it."""
    differ = _Differences()
    _on_database(differ, name, app, access, found)
    if differ.give:
        text = f"{app}: {access} ({_joined(differ.gained)})"
        yield make("grant", f"database {name}", text, within(name, *differ.give))


def _for_app(
    make: MakeStep, name: str, app: str, access: str, owner: str, found: Database, inside: Inside
) -> Iterator[Step[Session]]:
    """`app` '' is everybody: CONNECT is looked at elsewhere, and USAGE of a schema lets nobody
    do a thing."""
    what, differ = f"database {name}", _Differences()
    if app and app != owner:
        _on_database(differ, name, app, access, found)
    for kind, wanted in _WANTED[access].items():
        if access != "owner":  # what it had before is merged into what an owner has
            _on_kind(differ, kind, wanted, app, inside)
        keep = {("", p) for p in wanted}
        standing = {
            (by, schema, p)
            for by, schema, of, grantee, p in inside.defaults
            if of == kind and grantee == app
        }
        missing = {p for p in wanted if (owner, "", p) not in standing}
        if missing:
            differ.gained.add(f"new {kind}s")
            differ.give.append(_default("GRANT", missing, kind, app, owner))
        for by, schema, privilege in sorted(standing):
            if by != owner or (schema, privilege) not in keep:
                differ.lost.add(f"new {kind}s")
                differ.take.append(_default("REVOKE", {privilege}, kind, app, by, schema))
    who = app or "PUBLIC"
    if differ.take:
        take = (_passed_on(app), *differ.take)
        ends = name if "connect" in differ.lost else None
        run = _taking(name, app, ends, *take) if app else within(name, *take)
        yield make("revoke", what, f"{who}: {_joined(differ.lost)}", run)
    if differ.give:
        yield make(
            "grant", what, f"{who}: {access} ({_joined(differ.gained)})", within(name, *differ.give)
        )


def _on_database(differ: _Differences, name: str, app: str, access: str, found: Database) -> None:
    has = {privilege for grantee, privilege in found.granted if grantee == app}
    wanted, on = _ON_DATABASE[access], SQL("DATABASE {}").format(Identifier(name))
    missing = {p for p in wanted if p not in has and f"{p}*" not in has}
    if missing:
        differ.gained |= {word.lower() for word in missing}
        differ.give.append(SQL("GRANT {} ON {} TO {}").format(_words(missing), on, _who(app)))
    for privilege in sorted(has - wanted):
        differ.lost.add(_word(privilege))
        differ.take.append(_revoke(privilege, wanted, on, app))


def _on_kind(
    differ: _Differences, kind: str, wanted: frozenset[str], app: str, inside: Inside
) -> None:
    counts = {
        privilege: count
        for (of, grantee, privilege), count in inside.granted.items()
        if of == kind and grantee == app
    }
    if not app and kind == "schema":
        counts.pop("USAGE", None)
    total = inside.totals.get(kind, 0)
    missing = {p for p in wanted if counts.get(p, 0) + counts.get(f"{p}*", 0) < total}
    excess = set(counts) - wanted
    if kind == "table":
        # a right on the table takes its columns' rights along when it is revoked
        columns = {p for of, grantee, p in inside.granted if of == "column" and grantee == app}
        excess |= columns - wanted
    if missing:
        differ.gained |= {f"{p.lower()} on {kind}s" for p in missing}
        statement = SQL("GRANT {} ON %s TO {}").format(_words(missing), _who(app))
        differ.give.append(_everywhere(statement, kind))
    for privilege in sorted(excess):
        differ.lost.add(f"{_word(privilege)} on {kind}s")
        differ.take.append(_everywhere(_revoke(privilege, wanted, SQL("%s"), app), kind))


def _revoke(privilege: str, wanted: frozenset[str], on: sql.Composable, app: str) -> sql.Composed:
    """CASCADE: who had it from this role by its grant option loses it as well."""
    bare = privilege.removesuffix("*")
    option = SQL("GRANT OPTION FOR ") if privilege != bare and bare in wanted else SQL("")
    return SQL("REVOKE {}{} ON {} FROM {} CASCADE").format(option, _words({bare}), on, _who(app))


def _who(app: str) -> sql.Composable:
    return Identifier(app) if app else SQL("PUBLIC")


def _word(privilege: str) -> str:
    bare = privilege.removesuffix("*").lower()
    return f"passing on of {bare}" if privilege.endswith("*") else bare


def _joined(words: set[str]) -> str:
    return ", ".join(sorted(words))


def _words(privileges: Iterable[str]) -> sql.Composed:
    # privilege words come from the table above and from pg_catalog, never from the file
    return SQL(", ").join(SQL(word) for word in sorted(privileges))


def _everywhere(statement: sql.Composed, kind: str) -> sql.Composed:
    """On every object of a kind; `%s` in the statement stands for the objects of one schema."""
    on = {
        "schema": "SCHEMA %I",
        "table": "ALL TABLES IN SCHEMA %I",
        "sequence": "ALL SEQUENCES IN SCHEMA %I",
    }[kind]
    text = statement.as_string(None).replace("%s", on, 1).replace("'", "''")
    return SQL("DO {}").format(sql.Literal(_LOOP.replace("{text}", text)))


_LOOP = """
DECLARE s text;
BEGIN
  FOR s IN
    SELECT n.nspname FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
                      AND d.objid = n.oid AND d.deptype = 'e' AND o.rolsuper)
  LOOP EXECUTE format('{text}', s); END LOOP;
END
"""


def _passed_on(app: str) -> sql.Composed:
    """Revokes what others than an object's owner gave: REVOKE takes what its own role granted."""
    who = app.replace("'", "''")
    return SQL("DO {}").format(sql.Literal(_PASSED_ON.replace("{app}", who)))


#: First what cannot have been passed on further, so that CASCADE does not take it before its turn.
_PASSED_ON = data.text(__file__, "passed_on.sql")


def _default(
    verb: str, privileges: set[str], kind: str, app: str, owner: str, schema: str = ""
) -> sql.Composed:
    kinds = {"schema": "SCHEMAS", "table": "TABLES", "sequence": "SEQUENCES"}
    where = SQL(" IN SCHEMA {}").format(Identifier(schema)) if schema else SQL("")
    rule = SQL("GRANT {} ON {} TO {}" if verb == "GRANT" else "REVOKE {} ON {} FROM {}").format(
        _words({p.removesuffix("*") for p in privileges}),
        SQL(kinds[kind]),
        _who(app),
    )
    return SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}{} {}").format(Identifier(owner), where, rule)


def _taking(
    database: str, app: str, ends: str | None, *statements: sql.Composed
) -> Callable[[Session], None]:
    return lambda s: handover.take(s, app, *statements, database=database, ends=ends)


def within(database: str, *statements: sql.Composed) -> Callable[[Session], None]:
    """Runs statements in a database, all of them or none."""

    def run(session: Session) -> None:
        with session.inside(database) as connection:
            client.execute(connection, *statements)

    return run
