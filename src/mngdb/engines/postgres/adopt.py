"""A server that others made, as the file can say it. Reads the catalogs, which every login may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, LiteralString

from msgspec import Struct

from mngdb.engines.postgres import levels
from mngdb.engines.postgres.changes import milliseconds
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.facts import Carried, Role
from mngdb.engines.postgres.levels import Level
from mngdb.engines.postgres.look import SPECIAL
from mngdb.engines.postgres.roles import TIMEOUTS
from mngdb.errors import ConnectError, UnobservableError
from mngdb.facts.found import FoundApp, FoundServer, made_by
from mngdb.spec.units import format_duration
from mngdb.words import many, named

#: What every server has.
_EVERYBODYS = ("postgres", "template0", "template1")
_CREATEDB = "CREATEDB"
#: Names that a sentence has.
_SHOWN = 8
#: Settings that somebody set and that others should know.
_TOLD = ("max_connections", "shared_buffers", "wal_level", "log_min_duration_statement")
_SETTINGS: LiteralString = """
    SELECT name, current_setting(name) FROM pg_settings
    WHERE name = ANY(%s) AND source = 'configuration file' ORDER BY name
"""
_ROLES: LiteralString = """
    SELECT r.rolname, r.rolcanlogin, {special}, r.rolconnlimit,
           ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                 WHERE m.member = r.oid ORDER BY 1),
           coalesce(r.rolvaliduntil < now(), false),
           coalesce(shobj_description(r.oid, 'pg_authid'), ''),
           ARRAY(SELECT ARRAY[split_part(one, '=', 1), substr(one, strpos(one, '=') + 1),
                              coalesce(d.datname::text, '')]
                 FROM pg_db_role_setting c LEFT JOIN pg_database d ON d.oid = c.setdatabase,
                      unnest(c.setconfig) one WHERE c.setrole = r.oid ORDER BY 1)
    FROM pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname
"""
_DATABASES: LiteralString = """
    SELECT d.datname, o.rolname, d.datallowconn AND has_database_privilege(d.oid, 'CONNECT'),
           ARRAY(SELECT r.rolname::text FROM pg_roles r
                 WHERE r.rolcanlogin AND has_database_privilege(r.oid, d.oid, 'CONNECT')),
           ARRAY(SELECT r.rolname::text FROM pg_roles r
                 WHERE r.rolcanlogin AND has_database_privilege(r.oid, d.oid, 'CREATE'))
    FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba
    WHERE d.datname <> ALL(%s) ORDER BY d.datname
"""
_DEFAULTS: LiteralString = """
    SELECT f.rolname, coalesce(n.nspname, ''),
           CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
                WHEN 'f' THEN 'functions' WHEN 'n' THEN 'schemas' ELSE 'types' END,
           coalesce(g.rolname, 'PUBLIC'), string_agg(DISTINCT a.privilege_type, ', ')
    FROM pg_default_acl d JOIN pg_roles f ON f.oid = d.defaclrole
         LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace,
         aclexplode(d.defaclacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee
    WHERE a.grantee <> d.defaclrole GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_EXTENSIONS: LiteralString = (
    "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
)


class _Role(Struct, frozen=True):
    name: str
    login: bool
    special: tuple[str, ...]
    connections: int
    groups: tuple[str, ...]
    expired: bool
    comment: str
    carried: tuple[Carried, ...]


class _Place(Struct, frozen=True):
    """A database and what the logins may do there."""

    name: str
    owner: str
    connects: frozenset[str]
    creates: frozenset[str]
    levels: Mapping[str, Level]


def found(session: Session, seen: Callable[[int, int], None]) -> FoundServer:
    """Roles, databases and rights. Raises UnobservableError."""
    ((version,),) = session.rows("SELECT current_setting('server_version_num')::int / 10000")
    roles = _roles(session)
    notes: list[str] = []
    names = [role.name for role in roles.values() if role.login]
    places = list(_places(session, names, notes, seen))
    able = []
    for role in roles.values():
        if role.name == session.access.user:
            continue
        if why := _no_app(role):
            notes.append(why)
        elif role.login:
            able.append(role)
    owners = {place.name: place.owner for place in places if place.owner in map(_name, able)}
    apps = [_app(role, places, owners) for role in able]
    members = {
        role.name: [one.name for one in roles.values() if role.name in one.groups]
        for role in roles.values()
        if not role.login and not Role(role.comment).mark
    }
    for group, within in members.items():
        above = roles[group].groups
        nested = f", itself a member of {_listed(above)}" if above else ""
        who = f"members {_listed(within)}" if within else "no members"
        notes.append(f"role {group} (cannot log in{nested}; {who}): the file has no groups")
    owned = {place.owner for place in places} - {session.access.user}
    used = {name for app in apps for name in _databases(app.right or {})}
    notes += [
        f"database {place.name}: no login that the file can describe uses it (owner {place.owner})"
        for place in places
        if place.name not in used and (place.owner in owned or place.owner == session.access.user)
    ]
    settings = dict(session.rows(_SETTINGS, list(_TOLD)))
    keys = {"version": str(version), **({"settings": settings} if settings else {})}
    marks = (Role(role.comment).mark for role in roles.values())
    return FoundServer(tuple(apps), keys, tuple(notes), frozenset(filter(None, marks)))


def _databases(right: Mapping[str, Any]) -> list[str]:
    """Those that a right of the file names."""
    return [*right.get("databases", ()), *([right["database"]] if "database" in right else ())]


def _name(role: _Role) -> str:
    return role.name


def _roles(session: Session) -> dict[str, _Role]:
    rows = session.rows(_ROLES.replace("{special}", SPECIAL))
    found = (
        _Role(name, login, tuple(special), limit, tuple(groups), expired, comment, _carried(every))
        for name, login, special, limit, groups, expired, comment, every in rows
    )
    return {role.name: role for role in found}


def _carried(rows: Iterable[Sequence[str]]) -> tuple[Carried, ...]:
    return tuple(Carried(*one) for one in rows)


def _no_app(role: _Role) -> str:
    """Why a login cannot be an app; empty: nothing keeps it from being one."""
    if not role.login:
        return ""
    if "SUPERUSER" in role.special:
        return f"login {role.name}: a superuser may do everything; an app is never one"
    if "REPLICATION" in role.special:
        return f"login {role.name}: it has REPLICATION, for standbys or backups; no app has that"
    if mark := Role(role.comment).mark:
        return f"login {role.name}: {made_by(mark)}"
    if role.expired:
        return f"login {role.name}: its password has expired, so it cannot log in"
    return ""


def _places(
    session: Session, names: Sequence[str], notes: list[str], seen: Callable[[int, int], None]
) -> Iterator[_Place]:
    rows = session.rows(_DATABASES, list(_EVERYBODYS))
    for number, (name, owner, enters, connects, creates) in enumerate(rows):
        seen(number, len(rows))
        found: Mapping[str, Level] = {}
        if not enters:
            notes.append(
                f"database {name}: {session.access.user} may not connect to it, so the rights in "
                "it could not be seen"
            )
        else:
            try:
                with session.inside(name) as connection:
                    found = levels.look(connection, names)
                    notes += _defaults(connection, name)
                    notes += _extensions(connection, name)
            except (ConnectError, UnobservableError) as error:
                notes.append(f"database {name}: it could not be looked into: {error.message}")
        yield _Place(name, owner, frozenset(connects), frozenset(creates), found)


def _defaults(connection: Any, database: str) -> Iterator[str]:
    from mngdb.engines.postgres import client

    for creator, schema, kind, grantee, privileges in client.rows(connection, _DEFAULTS):
        where = f" in schema {schema}" if schema else ""
        yield (
            f"default privileges in {database}: {privileges} on {kind} that {creator} creates"
            f"{where} for {grantee}; the file's rights are on all tables of a database"
        )


def _extensions(connection: Any, database: str) -> Iterator[str]:
    """No key of the file: a check tells which of them reach beyond the server unasked."""
    from mngdb.engines.postgres import client

    every = ", ".join(name for (name,) in client.rows(connection, _EXTENSIONS))
    if every:
        several = "," in every
        what, stay, it = (
            ("extensions", "stay", "them") if several else ("the extension", "stays", "it")
        )
        yield (
            f"database {database} has {what} {every}, which {stay}; where another server shall "
            f"have {it}, too: extensions: [{every}]"
        )


def _app(role: _Role, places: Iterable[_Place], owners: dict[str, str]) -> FoundApp:
    """A login with the database that it is for, and what a line cannot say. `owners`: the app that
    has each database, which this one may become of one that no app has."""
    notes: list[str] = []
    ranked = sorted(
        ((_rank(role.name, place), place) for place in places),
        key=lambda one: (-one[0], one[1].name != role.name, one[1].name),
    )
    ranked = [(rank, place) for rank, place in ranked if rank]
    special = [word for word in role.special if word != _CREATEDB]
    if special:
        notes.append(f"also has {', '.join(special)}, which the file does not grant")
    if role.groups:
        notes.append(f"member of {_listed(role.groups)}, which the file does not grant")
    if not ranked:
        may = f", and {_CREATEDB}" if _CREATEDB in role.special else ""
        return FoundApp(role.name, None, (f"has rights on the tables of no database{may}", *notes))
    rank, place = ranked[0]
    level = place.levels.get(role.name, Level())
    right: dict[str, Any] = {"database": place.name}
    if rank >= _OWNS and owners.setdefault(place.name, role.name) == role.name:
        if place.owner != role.name:
            notes.insert(
                0,
                f"mend: it creates tables in {place.name}, which belongs to {place.owner}; "
                f"mngdb up --allow {named(f'database {place.name}')} makes it the owner",
            )
    elif not level.access:
        counts = f"reads {level.reads}, writes {level.writes} of {many(level.tables, 'table')}"
        return FoundApp(role.name, None, (f"in {place.name} it {counts}: finer than the file's "
                                          "readonly and readwrite", *notes))  # fmt: skip
    else:
        right["access"] = level.access
    same = [other.name for at, other in ranked[1:] if _alike(role.name, right, at, other)]
    if same:
        del right["database"]
        right = {"databases": [place.name, *same], **right}
    if _CREATEDB in role.special:
        if "access" in right:
            notes.append(f"also has {_CREATEDB}, which the file grants to owners only")
        else:
            right["create_databases"] = True
    if role.connections >= 0:
        right["connections"] = role.connections
    timeouts, rest = _timeouts(role.carried)
    right |= timeouts
    notes += rest
    others = [other.name for _, other in ranked[1:] if other.name not in same]
    if others:
        notes.append(f"also has rights in {_listed(others)}, which stay")
    return FoundApp(role.name, right, tuple(notes))


def _timeouts(every: Iterable[Carried]) -> tuple[dict[str, str], list[str]]:
    """Of what a login's sessions begin with (ALTER ROLE … SET): the keys of the file, and the rest
    for people."""
    keys: dict[str, str] = {}
    rest: list[str] = []
    for one in every:
        duration = None if one.database else milliseconds(one.value)
        if one.name in TIMEOUTS and duration is not None:
            keys[TIMEOUTS[one.name]] = format_duration(timedelta(milliseconds=duration))
            continue
        # in settings of their own some keep keys
        value = "" if "." in one.name else f" = '{one.value}'"
        rest.append(f"{one.name}{value}" + (f" in {one.database}" if one.database else ""))
    what = "the settings" if len(rest) > 1 else "the setting"
    return keys, [f"has {what} {', '.join(rest)}: ALTER ROLE … SET stays as it is"] if rest else []


def _alike(name: str, right: Mapping[str, Any], rank: int, other: _Place) -> bool:
    """Whether a login has the same right in another database as in its main one."""
    if "access" in right:
        level = other.levels.get(name, Level())
        return rank < _OWNS and level.access == right["access"]
    return other.owner == name


#: What makes a database a login's own, the strongest first: it owns it, it may create in it, it
#: owns tables there.
_OWNER, _CREATES, _OWNS = 5, 4, 3


def _rank(name: str, place: _Place) -> int:
    level = place.levels.get(name, Level())
    if place.owner == name:
        return _OWNER
    if name not in place.connects:
        return 0
    if name in place.creates:
        return _CREATES
    if level.owned:
        return _OWNS
    if level.access:
        return 2
    return 1 if level.reads or level.touches else 0


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
