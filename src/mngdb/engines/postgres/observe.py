"""What is true on a PostgreSQL server, typed. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeAlias

from msgspec.structs import replace

from mngdb.engines.logins import unwanted
from mngdb.engines.postgres import (
    available,
    client,
    commits,
    guards,
    handover,
    inside,
    levels,
    maintenance,
    render,
    scram,
    system_rights,
)
from mngdb.engines.postgres.belonging import Users
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.facts import (
    MARK,
    Carried,
    Database,
    Facts,
    Inside,
    Lockout,
    Maintenance,
    Outsider,
    Role,
    Setting,
)
from mngdb.engines.postgres.look import SETTINGS, SPECIAL
from mngdb.engines.postgres.roles import login_of
from mngdb.errors import ConnectError, UnobservableError
from mngdb.model import Access, DesiredInstance
from mngdb.secret import SECOND, Secret, app_of
from mngdb.spec.agent import MONITOR
from mngdb.spec.postgres import PostgresGrant
from mngdb.spec.several import named

#: What is in a database, or why that cannot be told.
_Seen: TypeAlias = tuple[Inside | None, str]
#: Databases of a server of ours that are looked into at the same time; places are kept free for the
#: administrator there. A session's own start is most of a look.
_AT_ONCE = 4
_THERE = "SELECT FROM pg_database WHERE datname = %s"
_PRELOAD = "local_preload_libraries"
_PRELOADED = """
SELECT coalesce(d.datname, ''), coalesce(r.rolname, ''), substr(one, 25)
FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
     LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) one
WHERE one LIKE 'local\\_preload\\_libraries=%%'
  AND (d.datname = ANY(%s) OR r.rolname = ANY(%s)
       OR EXISTS (SELECT FROM unnest(%s::text[]) one WHERE starts_with(d.datname, one)))
  AND coalesce(d.datallowconn, true)
"""


def observe(session: Session, asked: DesiredInstance, *, logins: bool = False) -> Facts:
    """Look at the server; one connection, and one more at a time for the databases inside (four,
    on a server of ours). With `logins` they are not looked into, but for what lets nobody in."""
    version, admin, superuser, replicates, checksums, statistics, slot, *held = session.rows(
        "SELECT current_setting('server_version'), rolname, rolsuper, rolsuper OR rolreplication, "
        "current_setting('data_checksums') = 'on', "
        "EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'), "
        "EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s), "
        "current_setting('synchronous_standby_names') = %s, "
        "EXISTS (SELECT FROM pg_stat_replication WHERE application_name = %s) "
        "FROM pg_roles WHERE rolname = current_user",
        *[render.slot(asked)] * 3,
    )[0]
    awaited, followed = held
    roles = _roles(session, asked, superuser)
    monitor = roles.pop(MONITOR, None)
    others = _others(asked, roles)
    namesakes = {name: roles.pop(name) for name in others}
    return Facts(
        version=version.split()[0],
        admin=admin,
        superuser=superuser,
        checksums=checksums,
        settings=_settings(session, asked),
        roles=roles,
        namesakes=namesakes,
        databases=_databases(session, asked, roles, into=not logins),
        admin_password=_admin_password(session, asked, superuser),
        statistics=statistics,
        monitor=monitor,
        monitored=_monitored(session, asked, MONITOR if monitor else "public"),
        not_ours=frozenset() if superuser else _not_ours(session),
        main=session.access.database,
        overlaid=_overlaid(session, asked),
        system=system_rights.look(session.main, whole=True) if superuser else (),
        outsiders=_outsiders(session, asked, roles) if asked.managed and superuser else (),
        lockouts=_lockouts(session, asked, roles),
        unnamed=_unnamed(session, asked) if asked.managed and superuser else {},
        maintenance=maintenance.look(session) if asked.managed else Maintenance(),
        unavailable=frozenset() if logins else available.unavailable(session, asked),
        slot=slot,
        awaited=awaited,
        followed=followed,
        replicates=replicates,
        entered=not logins,
    )


def _unnamed(session: Session, asked: DesiredInstance) -> dict[str, str]:
    names = named(asked.instance.granted(PostgresGrant).values())
    rows = session.rows(
        "SELECT datname, pg_size_pretty(pg_database_size(oid)) FROM pg_database "
        "WHERE NOT datistemplate AND datname <> ALL(%s) ORDER BY 1",
        [*names, session.access.database],
    )
    return dict(rows)


def _monitored(session: Session, asked: DesiredInstance, role: str) -> frozenset[str]:
    """Databases in which the monitor was given the right to connect; on a server that is not ours
    also those that let everybody in. `role`: the monitor, `public` before it is made."""
    if not asked.managed:
        query = "SELECT datname FROM pg_database WHERE has_database_privilege(%s, oid, 'CONNECT')"
        return frozenset(session.names(query, role))
    query = (
        "SELECT d.datname FROM pg_database d, aclexplode(d.datacl) a "
        "JOIN pg_roles g ON g.oid = a.grantee "
        "WHERE g.rolname = %s AND a.privilege_type = 'CONNECT'"
    )
    return frozenset(session.names(query, MONITOR))


def _not_ours(session: Session) -> frozenset[str]:
    query = (
        "SELECT datname FROM pg_database "
        "WHERE NOT has_database_privilege(oid, 'CONNECT WITH GRANT OPTION')"
    )
    return frozenset(session.names(query))


def _settings(session: Session, asked: DesiredInstance) -> dict[str, Setting]:
    """The settings that mngdb wants, and those that a configuration file sets but the agent."""
    return {
        name: Setting(value, unit, kind, context not in {"postmaster", "internal"}, source)
        for name, value, unit, kind, context, source, *_ in session.rows(
            f"{SETTINGS} WHERE lower(name) = ANY(%s) OR source = 'configuration file'",
            [name.lower() for name in render.settings(asked)],
        )
        if not (name == render.AWAITED and commits.laid_over(asked, value))
    }


def _overlaid(session: Session, asked: DesiredInstance) -> tuple[str, ...]:
    if not asked.managed:
        return ()
    query = (
        "SELECT DISTINCT coalesce(name, 'an unreadable line'), "
        "coalesce(CASE name WHEN %s THEN setting END, '') FROM pg_file_settings "
        "WHERE sourcefile LIKE '%%/postgresql.auto.conf' ORDER BY 1"
    )
    found = session.rows(query, render.AWAITED)
    return tuple(name for name, value in found if not commits.laid_over(asked, value))


def _roles(session: Session, asked: DesiredInstance, superuser: bool) -> dict[str, Role]:
    """The apps' roles and those that carry a mark of ours."""
    found = {}
    rows = session.rows(
        f"""
        SELECT r.rolname, coalesce(shobj_description(r.oid, 'pg_authid'), ''), r.rolcanlogin,
               {SPECIAL}, r.rolconnlimit, coalesce(s.setconfig, '{{}}'),
               ARRAY(SELECT ARRAY[g.rolname::text, by.rolname::text] FROM pg_auth_members m
                     JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles by ON by.oid = m.grantor
                     WHERE m.member = r.oid ORDER BY 1),
               coalesce(r.rolvaliduntil, 'infinity') <> 'infinity',
               pg_has_role(r.oid, 'USAGE'),
               ARRAY(SELECT ARRAY[split_part(one, '=', 1), substr(one, strpos(one, '=') + 1),
                                  coalesce(d.datname::text, '')]
                     FROM pg_db_role_setting c LEFT JOIN pg_database d ON d.oid = c.setdatabase,
                          unnest(c.setconfig) one WHERE c.setrole = r.oid)
        FROM pg_roles r
        LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0
        WHERE r.rolname = ANY(%s) OR starts_with(shobj_description(r.oid, 'pg_authid'), %s)
        ORDER BY r.rolname
        """,  # noqa: S608 - a constant
        [*asked.instance.grants, *(app + SECOND for app in asked.instance.grants), MONITOR],
        # on a server of ours whichever stack made them: it is one of ours
        MARK if asked.managed else MARK + asked.stack,
    )
    verifiers: dict[str, str | None] = {}
    if superuser and rows:
        names = [row[0] for row in rows]
        verifiers = dict(
            session.rows(
                "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY(%s)", names
            )
        )
    owns = handover.owns(session, [row[0] for row in rows if row[0] not in asked.instance.grants])
    secrets = asked.login_secrets()
    for name, mark, login, special, connections, settings, groups, *rest in rows:
        expires, reach, carried = rest
        secret = secrets.get(name)
        same: bool | None = True
        if secret is not None:
            if superuser:
                same = scram.matches(secret, verifiers.get(name))
            else:
                same = _can_log_in(session.access, asked, name, secret)
        found[name] = Role(
            mark,
            login,
            tuple(special),
            connections,
            same,
            dict(one.split("=", 1) for one in settings),
            tuple((group, by) for group, by in groups),
            expires,
            reach,
            owns.get(name, {}),
            tuple(Carried(*one) for one in carried),
        )
    return found


def _others(asked: DesiredInstance, found: Mapping[str, Role]) -> list[str]:
    """Those that neither the file names nor this stack, or an earlier one on our server, made."""
    return [
        name
        for name, role in found.items()
        if app_of(name) not in asked.instance.grants
        and unwanted(asked, login_of(asked, name, role)) in {"leave", "report", "shut"}
    ]


def _outsiders(
    session: Session, asked: DesiredInstance, ours: Collection[str]
) -> tuple[Outsider, ...]:
    """The logins that the file does not name, each with what makes it powerful."""
    found = session.rows(
        f"""
        SELECT r.rolname, {SPECIAL},
               ARRAY(SELECT g.rolname::text FROM pg_roles g WHERE g.oid <> r.oid
                     AND NOT r.rolsuper AND pg_has_role(r.oid, g.oid, 'MEMBER') ORDER BY 1),
               ARRAY(SELECT d.datname::text FROM pg_database d WHERE d.datdba = r.oid ORDER BY 1)
        FROM pg_roles r WHERE r.rolcanlogin AND r.rolname <> ALL(%s) ORDER BY 1 LIMIT 100
        """,  # noqa: S608 - a constant
        [*asked.instance.grants, *ours, MONITOR, render.ADMIN, session.access.user],
    )
    return tuple(Outsider(name, *map(tuple, powers)) for name, *powers in found)


def _can_log_in(at: Access, asked: DesiredInstance, login: str, secret: Secret) -> bool | None:
    """Without the right to read verifiers, whether a secret fits shows only at a login."""
    # the monitor has none, and is let into this database
    right = asked.instance.granted(PostgresGrant).get(app_of(login))
    database = right.database if right else at.database
    access = replace(at, user=login, password=secret, database=database, socket=None)
    try:
        with client.connect(access, 5):
            return True
    except ConnectError as error:
        if error.kind == "auth":
            return False
        if error.kind in {"database", "limit", "quota"}:
            return True  # the server looks at the password before it looks at these
        if error.kind in {"hba", "tls", "stranger"}:
            return None  # nobody asked for the password, or not as a server that has it by SCRAM
        raise UnobservableError(f"cannot check {login}'s secret: {error}") from None


def _admin_password(session: Session, asked: DesiredInstance, superuser: bool) -> bool:
    if not (asked.managed and superuser):
        return True  # we are in with it, or it is not ours to set
    stored = session.rows("SELECT rolpassword FROM pg_authid WHERE rolname = %s", render.ADMIN)
    return bool(stored) and scram.matches(asked.secrets["admin"], stored[0][0])


def _databases(
    session: Session, asked: DesiredInstance, roles: Mapping[str, Role], *, into: bool
) -> dict[str, Database]:
    """The databases that the file names, also by their beginning, those in which an app's role has
    a right, and the server's own. Only those that the file names are looked into, if any are
    (`into`)."""
    grants = asked.instance.granted(PostgresGrant)
    rows = session.rows(
        """
        SELECT d.datname, o.rolname, d.datallowconn, d.datconnlimit, d.datistemplate,
               has_database_privilege(o.oid, d.oid, 'CONNECT'),
               ARRAY(SELECT coalesce(g.rolname, '') || chr(10) || a.privilege_type
                            || CASE WHEN a.is_grantable THEN '*' ELSE '' END
                     FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                     LEFT JOIN pg_roles g ON g.oid = a.grantee WHERE a.grantee <> d.datdba)
        FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba
        WHERE d.datname = ANY(%s) OR o.rolname = ANY(%s)
          OR EXISTS (SELECT FROM unnest(%s::text[]) one WHERE starts_with(d.datname, one))
          OR EXISTS (SELECT FROM aclexplode(d.datacl) a JOIN pg_roles g ON g.oid = a.grantee
                     WHERE g.rolname = ANY(%s))
        ORDER BY d.datname
        """,
        [*named(grants.values()), "postgres", "template1"],
        list(roles),
        [prefix for grant in grants.values() for prefix in grant.prefixes],
        list(roles),
    )
    users = Users(grants)
    looked = [name for name, _, is_open, *_ in rows if into and is_open and users.of(name)]
    owners = {
        name: app
        for name in looked
        for app, grant in users.of(name).items()
        if grant.access == "owner"
    }
    look = partial(_look_into, session, roles=list(roles), adopt=asked.instance.adopt)
    jobs = {name: partial(look, name, owner=owners.get(name, "")) for name in looked}
    seen = _look_into_each(session, jobs, _AT_ONCE if asked.managed else 1)
    found = {}
    for name, owner, is_open, limit, template, let_in, granted in rows:
        within, unseen = seen.get(name, (None, ""))
        if unseen and not session.rows(_THERE, name):
            continue  # an app that creates databases dropped it meanwhile
        pairs = (one.split("\n") for one in granted)
        found[name] = Database(
            owner,
            frozenset((who, what) for who, what in pairs),
            within,
            is_open,
            limit,
            template,
            let_in,
            unseen,
        )
    return found


def _look_into_each(
    session: Session, jobs: Mapping[str, Callable[[], _Seen]], at_once: int
) -> dict[str, _Seen]:
    """What is in each of these databases, or why that cannot be told. Of those that were copied
    from template0 just now one tells of all."""
    sample, *alike = sorted(session.copies & jobs.keys()) or [""]
    pool = ThreadPoolExecutor(at_once)
    try:
        looks = {name: pool.submit(job) for name, job in jobs.items() if name not in alike}
        if alike:
            looks |= dict.fromkeys(alike, looks[sample])
        return {name: look.result() for name, look in looks.items()}
    finally:
        pool.shutdown(cancel_futures=True)


def _look_into(session: Session, name: str, *, roles: list[str], owner: str, adopt: bool) -> _Seen:
    """What is in a database, or why that cannot be told: it costs no other database its steps."""
    try:
        with session.inside(name) as connection:
            found = inside.look(connection, roles, owner)
            if adopt:
                found = replace(
                    found,
                    levels=levels.look(connection, roles),
                    by_public=levels.by_public(connection),
                )
            return found, ""
    except (ConnectError, UnobservableError) as error:
        if isinstance(error, ConnectError) and error.kind == "down":
            raise
        return None, error.message


def _lockouts(
    session: Session, asked: DesiredInstance, roles: Mapping[str, Role]
) -> tuple[Lockout, ...]:
    """Libraries that databases of the file and logins of apps load at the start of each session,
    and that there are not. Tried out: what loads is nobody's fault."""
    grants = asked.instance.granted(PostgresGrant).values()
    prefixes = [prefix for grant in grants for prefix in grant.prefixes]
    found = []
    for database, role, value in session.rows(_PRELOADED, named(grants), list(roles), prefixes):
        if not guards.plain(value):
            found.append(Lockout(database, role, _PRELOAD, "no library has such a name"))
            continue
        try:
            with session.inside(database or session.access.database, **{_PRELOAD: value}):
                pass
        except ConnectError as error:
            if error.kind == "down":
                raise
            if error.kind == "database":
                continue  # an app that creates databases dropped it meanwhile
            found.append(Lockout(database, role, _PRELOAD, error.message))
    return tuple(found)
