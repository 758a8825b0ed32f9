"""Who gets into a MongoDB server, and what each login may do there."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from mngdb.checks.catalogue import checks
from mngdb.errors import UnobservableError
from mngdb.facts.mongodb import CLUSTER, EVERYWHERE, LOGINS, Login, MongodbFacts
from mngdb.findings import Check, Judgement, judged, listed, not_applicable, strangers

#: Who may do one of these everywhere, or in the database of the logins, is an administrator.
_RULING = frozenset({"createUser", "grantRole", "changePassword", "createRole", "anyAction"})
#: And who may do one of these to the server.
_RULING_SERVER = frozenset(
    {"shutdown", "setParameter", "replSetConfigure", "fsync", "killop", "anyAction"}
)
#: What no app needs in its own database (`dbOwner` and `dbAdmin` have it). To drop it is no more
#: than to drop each of its collections.
_HARMFUL = frozenset(
    {
        *("createUser", "dropUser", "grantRole", "createRole", "changePassword"),
        *("enableProfiler", "changeCustomData", "bypassDocumentValidation", "anyAction"),
    }
)
_READ = frozenset({"find", "listCollections", "listIndexes"})
_WRITE = frozenset({"insert", "update", "remove", "createCollection", "createIndex"})
#: What no app may that only reads.
_CHANGE = _WRITE | {"collMod", "dropCollection", "dropDatabase", "dropIndex"}
_STRONG_ROUNDS = 15_000
_LONG = 32
#: Of an adopted server, where `up` sets no password that others chose.
_KEPT = (
    "mngdb secret set INSTANCE_NAME stores the one that the login has; 'mngdb up' sets those of "
    "logins that mngdb made"
)


def _apps(facts: MongodbFacts) -> list[Login]:
    """The logins that the file names; where it names none, all that are not the stack's own."""
    logins = facts.logins.value
    if facts.apps:
        return [one for one in logins if one.name in facts.apps]
    return [one for one in logins if one.rights and one.name not in facts.known]


def _rules(login: Login) -> bool:
    server = login.rights.get(CLUSTER, frozenset()) & _RULING_SERVER
    server |= login.rights.get(LOGINS, frozenset()) & _WRITE  # who writes logins makes his own
    places = (EVERYWHERE, "admin")
    return bool(server or any(login.rights.get(one, frozenset()) & _RULING for one in places))


def _no_strangers(facts: MongodbFacts) -> Judgement:
    told = facts.open_to_all.value
    return judged(not told, "listDatabases without a login: " + ("answered" if told else "refused"))


def _exception_closed(facts: MongodbFacts) -> Judgement:
    if not facts.parameters.value.get("enableLocalhostAuthBypass", True):
        return judged(True, "enableLocalhostAuthBypass false")
    count = len(facts.logins.value)
    return judged(count > 0, f"closed by the first of {count} users" if count else "no login")


def _admins(facts: MongodbFacts) -> Judgement:
    others = [a.name for a in facts.logins.value if _rules(a) and a.name != facts.admin]
    return listed(others, f"only {facts.admin}")


def _no_superuser(facts: MongodbFacts) -> Judgement:
    found = [a.name for a in facts.logins.value if "anyAction" in a.rights.get(EVERYWHERE, ())]
    return listed(found, "no login has the role __system")


def _own_database(facts: MongodbFacts) -> Judgement:
    bad = []
    for one in _apps(facts):
        places = set(one.rights)
        if one.name in facts.apps:
            places -= {*facts.apps[one.name].databases}
        elif len(places - {EVERYWHERE, CLUSTER, "admin", "local", "config"}) == len(places) == 1:
            places = set()
        if places:
            words = {EVERYWHERE: "every database", CLUSTER: "the server", LOGINS: "logins"}
            bad.append(f"{one.name}: {' '.join(sorted(words.get(p, p) for p in places))}")
    return listed(bad, "every app is limited to its own database")


def _harmless(facts: MongodbFacts) -> Judgement:
    bad = []
    for one in _apps(facts):
        found = sorted({action for actions in one.rights.values() for action in actions & _HARMFUL})
        if found:
            bad.append(f"{one.name}: {' '.join(found)}")
    return listed(bad, "no app can create users, grant roles or change the profiler")


def _useful(facts: MongodbFacts) -> Judgement:
    if not facts.apps:
        return not_applicable("the file has no app here")
    logins = {one.name: one for one in facts.logins.value}
    bad = []
    for name, app in facts.apps.items():
        if name not in logins:
            bad.append(f"{name}: no login")
            continue
        needs = _READ if app.readonly else _READ | _WRITE
        for database in app.databases:
            missing = sorted(needs - logins[name].rights.get(database, frozenset()))
            if missing:
                where = f" on {database}" if len(app.databases) > 1 else ""
                bad.append(f"{name}: {' '.join(missing)}{where}")
    return listed(bad, "every app has the rights it needs")


def _readers_only_read(facts: MongodbFacts) -> Judgement:
    readers = {name for name, app in facts.apps.items() if app.readonly}
    if not readers:
        return not_applicable("the file has no read-only app")
    bad = []
    for one in facts.logins.value:
        found = sorted({a for actions in one.rights.values() for a in actions & _CHANGE})
        if one.name in readers and found:
            bad.append(f"{one.name}: {' '.join(found)}")
    return listed(bad, f"{', '.join(sorted(readers))} are read-only")


def _all_known(facts: MongodbFacts) -> Judgement:
    if not (facts.managed or facts.adopted):
        return not_applicable("the server is external")
    found = [a.name for a in facts.logins.value if a.rights and a.name not in facts.known]
    return strangers(found, facts.adopted)


def _with_password(facts: MongodbFacts) -> Iterable[Login]:
    return (one for one in facts.logins.value if one.mechanisms)


def _modern(facts: MongodbFacts) -> Judgement:
    old = [one.name for one in _with_password(facts) if "SCRAM-SHA-1" in one.mechanisms]
    return listed(old, "all logins use SCRAM-SHA-256 only")


def _stretched(facts: MongodbFacts) -> Judgement:
    bad = []
    for one in _with_password(facts):
        random = one.agrees and facts.strengths[one.name].length >= _LONG
        rounds = one.rounds or 0
        if not one.rights:
            continue  # it is closed: nobody knows its password
        if rounds < _STRONG_ROUNDS and not random:
            bad.append(f"{one.name} ({rounds} rounds)")
    return listed(bad, "15000 rounds, or a password of 32 characters or more")


def _not_guessed(facts: MongodbFacts) -> Judgement:
    weak = [one.name for one in facts.logins.value if one.guessed]
    untried = [one.name for one in facts.logins.value if one.guessed is None]
    if untried and not weak:
        raise UnobservableError(f"{len(untried)} logins were not tried, {untried[0]} among them")
    return listed(weak, "no login has a common password or its own name")


def _strong(facts: MongodbFacts) -> Judgement:
    ours = [one.name for one in facts.logins.value if one.agrees]
    if not ours:
        return not_applicable("the vault has no secrets of logins")
    short = []
    for name in ours:
        found = facts.strengths.get(name)
        if found and found.length < _LONG and not (found.length >= 16 and found.mixed):
            short.append(f"{name} ({found.length})")
    shortest = min(facts.strengths[name].length for name in ours if name in facts.strengths)
    return listed(short, f"the shortest has {shortest} characters")


def _agreed(facts: MongodbFacts) -> Judgement:
    bad = [one.name for one in facts.logins.value if one.agrees is False]
    tried = sum(one.agrees is not None for one in facts.logins.value)
    found = listed(bad, f"{tried} secrets match the server")
    return replace(found, remedy=_KEPT) if facts.adopted else found


CHECKS: tuple[Check[MongodbFacts], ...] = checks(
    __file__,
    {
        "mongodb.login-required": _no_strangers,
        "mongodb.localhost-exception": _exception_closed,
        "mongodb.admins": _admins,
        "mongodb.superuser": _no_superuser,
        "mongodb.app-own-database": _own_database,
        "mongodb.app-harmless": _harmless,
        "mongodb.app-useful": _useful,
        "mongodb.app-readonly": _readers_only_read,
        "mongodb.logins-known": _all_known,
        "mongodb.databases-known": lambda facts: listed(
            facts.unknown.value, "every database is in the file"
        ),
        "mongodb.scram-sha-1": _modern,
        "mongodb.scram-rounds": _stretched,
        "mongodb.password-known": _not_guessed,
        "mongodb.password-strength": _strong,
        "mongodb.secrets-agree": _agreed,
    },
)
