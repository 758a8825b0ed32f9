"""Who may log in to a PostgreSQL server, with what password, and with what power."""

from __future__ import annotations

from collections.abc import Callable

from mngdb.checks.catalogue import checks
from mngdb.checks.postgres.creators import created
from mngdb.checks.postgres.hba import reachable
from mngdb.checks.postgres.settings import SETTINGS
from mngdb.checks.strength import long_enough
from mngdb.errors import UnobservableError
from mngdb.facts.postgres import MAINTENANCE, Login, PostgresFacts, Role
from mngdb.findings import Check, Judgement, listed, not_applicable, strangers
from mngdb.secret import app_of

_ITERATIONS = 4096
#: Methods that do not ask for the password that the server keeps.
_OTHER_PROOFS = {"peer", "cert", "gss", "sspi", "ldap", "radius", "pam", "bsd", "oauth"}
_FILES = {"pg_read_server_files", "pg_write_server_files", "pg_execute_server_program"}
_ROWS = {"pg_read_all_data", "pg_write_all_data"}
_RESERVED = "pg_use_reserved_connections"
_SERVER = {
    *("pg_maintain", "pg_signal_backend", "pg_signal_autovacuum_worker", "pg_checkpoint"),
    *("pg_create_subscription", _RESERVED),
}
#: They show everybody's statements: for those who watch the server, not for apps.
_WATCH = {"pg_monitor", "pg_read_all_stats", "pg_read_all_settings"}


def _others(facts: PostgresFacts) -> list[Role]:
    """Roles with more rights than a login has, but for administrators."""
    return [one for one in facts.roles.value if "SUPERUSER" not in one.special]


def _superusers(facts: PostgresFacts) -> Judgement:
    found = [one for one in facts.roles.value if "SUPERUSER" in one.special]
    known = [one.name for one in found if one.bootstrap or one.name == facts.admin]
    bad = [one.name for one in found if one.name not in known]
    bad += [
        f"{one.name} (member of {one.becomes[0]})"
        for one in facts.roles.value
        if one.becomes and one.name != facts.admin
    ]
    return listed(bad, ", ".join(known) or "none")


def _asked(facts: PostgresFacts, role: Role) -> set[str]:
    """Attributes that the file gives an app."""
    app = facts.apps.get(role.name)
    return {"CREATEDB"} if app and app.creates else set()


def _special(*words: str) -> Callable[[PostgresFacts], Judgement]:
    def judge(facts: PostgresFacts) -> Judgement:
        bad = [
            f"{one.name}: {' '.join(sorted(found))}"
            for one in _others(facts)
            if (found := one.special & set(words) - _asked(facts, one)) and one.name != facts.admin
        ]
        return listed(bad, "only administrators")

    return judge


def _replication(facts: PostgresFacts) -> Judgement:
    bad = [
        one.name
        for one in _others(facts)
        if "REPLICATION" in one.special
        and (one.owns or one.name in facts.apps or one.special != {"REPLICATION"} or one.groups)
    ]
    return listed(bad, "no app or database owner has REPLICATION")


def _groups(groups: set[str]) -> Callable[[PostgresFacts], Judgement]:
    def judge(facts: PostgresFacts) -> Judgement:
        bad = [
            f"{one.name}: {' '.join(sorted(one.groups & groups))}"
            for one in _others(facts)
            if one.groups & groups
        ]
        return listed(bad, "only superusers")

    return judge


def _server(facts: PostgresFacts) -> Judgement:
    groups = {one.name: one.groups & _SERVER for one in _others(facts)}
    for one in _others(facts):
        if one.name in facts.apps:
            groups[one.name] |= one.groups & _WATCH
        elif one.name == facts.monitor:
            groups[one.name] -= {_RESERVED}  # it gets in when apps have taken every connection
    bad = [f"{name}: {' '.join(sorted(found))}" for name, found in groups.items() if found]
    return listed(bad, "only superusers; no app has monitoring roles")


def _known(facts: PostgresFacts) -> Judgement:
    if not (facts.managed or facts.adopted):
        return not_applicable("the server is external")
    bad = [one.name for one in facts.logins.value if one.name not in facts.known]
    return strangers(bad, facts.adopted)


def _members(facts: PostgresFacts) -> Judgement:
    if not facts.apps:
        return not_applicable("the file has no app here")
    bad = [
        f"{login}: {' '.join(sorted(others)[:3])}"
        for login, found in facts.reach.value.items()
        if (others := found.logins - {app_of(login)})
    ]
    return listed(bad, "no app can SET ROLE to another login")


def _databases(facts: PostgresFacts) -> Judgement:
    if not facts.apps:
        return not_applicable("the file has no app here")
    bad = []
    for app, found in facts.reach.value.items():
        own = facts.apps[app]
        others = sorted(
            one
            for one in found.databases - {*own.names, MAINTENANCE} - created(facts)
            if not one.startswith(own.prefixes)
        )
        if others:
            bad.append(f"{app}: {' '.join(others[:3])}")
    return listed(bad, "each app can connect to its own databases only")


def _with_password(facts: PostgresFacts) -> Judgement:
    doors = [rule.users for rule in reachable(facts.hba.value) if rule.method in _OTHER_PROOFS]
    # groups and patterns are not looked into: who has no password can do no harm by it
    bad = [
        one.name
        for one in facts.logins.value
        if one.kind == "none"
        and not any({"all", one.name} & set(users) or users[0][0] in "+/" for users in doors)
    ]
    return listed(bad, "every login has one, or another method")


def _every_login(bad: Callable[[Login], bool], fine: str) -> Callable[[PostgresFacts], Judgement]:
    def judge(facts: PostgresFacts) -> Judgement:
        return listed([one.name for one in facts.logins.value if bad(one)], fine)

    return judge


def _well_known(facts: PostgresFacts) -> Judgement:
    weak = [one.name for one in facts.logins.value if one.well_known]
    untried = sum(one.well_known is None for one in facts.logins.value)
    if not weak and untried:
        raise UnobservableError(f"{untried} logins were not tested in time")
    return listed(weak, "no common password, and no login's own name")


def _expiring(facts: PostgresFacts) -> Judgement:
    bad = [
        f"{one.name} ({'expired' if one.days < 0 else f'{one.days:.0f} days'})"
        for one in facts.logins.value
        if one.days is not None and one.days < 14
    ]
    return listed(bad, "none within 14 days")


CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.role-superuser": _superusers,
        "postgres.role-create": _special("CREATEROLE", "CREATEDB"),
        "postgres.role-bypass": _special("BYPASSRLS"),
        "postgres.role-replication": _replication,
        "postgres.role-files": _groups(_FILES),
        "postgres.role-all-data": _groups(_ROWS),
        "postgres.role-server": _server,
        "postgres.logins-known": _known,
        "postgres.app-members": _members,
        "postgres.admin-sessions": lambda facts: listed(
            facts.sharing.value, f"only mngdb is connected as {facts.admin}"
        ),
        "postgres.app-databases": _databases,
        "postgres.password-set": _with_password,
        "postgres.password-hash": _every_login(
            lambda one: one.kind in {"md5", "other"}, "SCRAM-SHA-256 throughout"
        ),
        "postgres.password-iterations": _every_login(
            lambda one: one.kind == "scram" and one.iterations < _ITERATIONS,
            f"{_ITERATIONS} iterations or more",
        ),
        "postgres.password-known": _well_known,
        "postgres.password-length": lambda facts: long_enough(facts.password_lengths.items()),
        "postgres.password-expiry": _expiring,
    },
    SETTINGS,
)
