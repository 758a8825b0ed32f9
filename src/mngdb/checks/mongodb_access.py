"""Who gets into a MongoDB server, and what each login may do there."""

from __future__ import annotations

from collections.abc import Iterable

from mngdb.errors import UnobservableError
from mngdb.facts.mongodb import CLUSTER, EVERYWHERE, LOGINS, Login, MongodbFacts
from mngdb.findings import Check, Judgement, judged, listed, no_matter

#: Who may do one of these everywhere, or in the database of the logins, is an administrator.
_RULING = frozenset({"createUser", "grantRole", "changePassword", "createRole", "anyAction"})
#: And who may do one of these to the server.
_RULING_SERVER = frozenset(
    {"shutdown", "setParameter", "replSetConfigure", "fsync", "killop", "anyAction"}
)
#: What no app needs in its own database (`dbOwner` and `dbAdmin` have it).
_HARMFUL = frozenset(
    {
        *("dropDatabase", "createUser", "dropUser", "grantRole", "createRole", "changePassword"),
        *("enableProfiler", "changeCustomData", "bypassDocumentValidation", "anyAction"),
    }
)
_READ = frozenset({"find", "listCollections", "listIndexes"})
_WRITE = frozenset({"insert", "update", "remove", "createCollection", "createIndex"})
_STRONG_ROUNDS = 15_000
_LONG = 32


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
    return judged(count > 0, f"it ended with the first of {count} logins" if count else "no login")


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
            places -= {facts.apps[one.name].database}
        elif len(places - {EVERYWHERE, CLUSTER, "admin", "local", "config"}) == len(places) == 1:
            places = set()
        if places:
            words = {EVERYWHERE: "every database", CLUSTER: "the server", LOGINS: "logins"}
            bad.append(f"{one.name}: {' '.join(sorted(words.get(p, p) for p in places))}")
    return listed(bad, "every app acts in one database")


def _harmless(facts: MongodbFacts) -> Judgement:
    bad = []
    for one in _apps(facts):
        found = sorted({action for actions in one.rights.values() for action in actions & _HARMFUL})
        if found:
            bad.append(f"{one.name}: {' '.join(found)}")
    return listed(bad, "no app may drop its database, make logins or switch the profiler")


def _useful(facts: MongodbFacts) -> Judgement:
    if not facts.apps:
        return no_matter("the file names no app here")
    logins = {one.name: one for one in facts.logins.value}
    bad = []
    for name, app in facts.apps.items():
        if name not in logins:
            bad.append(f"{name}: it has no login")
            continue
        needs = _READ if app.readonly else _READ | _WRITE
        missing = sorted(needs - logins[name].rights.get(app.database, frozenset()))
        if missing:
            bad.append(f"{name}: {' '.join(missing)}")
    return listed(bad, "every app may do what it needs in its database")


def _readers_only_read(facts: MongodbFacts) -> Judgement:
    readers = {name for name, app in facts.apps.items() if app.readonly}
    if not readers:
        return no_matter("the file names no app that only reads")
    bad = []
    for one in facts.logins.value:
        found = sorted({a for actions in one.rights.values() for a in actions & _WRITE})
        if one.name in readers and found:
            bad.append(f"{one.name}: {' '.join(found)}")
    return listed(bad, f"{', '.join(sorted(readers))} may only read")


def _all_known(facts: MongodbFacts) -> Judgement:
    if not facts.managed:
        return no_matter("the server is not the stack's own")
    found = [a.name for a in facts.logins.value if a.rights and a.name not in facts.known]
    return listed(found, "every login is in the file")


def _with_password(facts: MongodbFacts) -> Iterable[Login]:
    return (one for one in facts.logins.value if one.mechanisms)


def _modern(facts: MongodbFacts) -> Judgement:
    old = [one.name for one in _with_password(facts) if "SCRAM-SHA-1" in one.mechanisms]
    return listed(old, "every login is SCRAM-SHA-256 only")


def _stretched(facts: MongodbFacts) -> Judgement:
    bad = []
    for one in _with_password(facts):
        random = one.agrees and facts.strengths[one.name].length >= _LONG
        rounds = one.rounds or 0
        if rounds < _STRONG_ROUNDS and not random:
            bad.append(f"{one.name} ({rounds} rounds)")
    return listed(bad, "15000 rounds, or a password of 32 characters or more")


def _not_guessed(facts: MongodbFacts) -> Judgement:
    weak = [one.name for one in facts.logins.value if one.guessed]
    untried = [one.name for one in facts.logins.value if one.guessed is None]
    if untried and not weak:
        raise UnobservableError(f"{len(untried)} logins were not tried, {untried[0]} among them")
    return listed(weak, "no login has its own name, or one of the commonest words, for a password")


def _strong(facts: MongodbFacts) -> Judgement:
    ours = [one.name for one in facts.logins.value if one.agrees]
    if not ours:
        return no_matter("the vault holds no login's secret")
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
    return listed(bad, f"{tried} secrets of the vault open their logins")


_UP = "'mngdb up' gives each app of the file its rights again; elsewhere "
_LESS = _UP + "db.revokeRolesFromUser(NAME, [ROLE])"
_CIS = "CIS MongoDB 7 v1.2.0"
_ROLES = "mongodb.com: built-in roles"

CHECKS: tuple[Check[MongodbFacts], ...] = (
    Check(
        "mongodb.login-required",
        "nobody is answered without a login",
        "critical",
        _no_strangers,
        "refused",
        "'mngdb up'; elsewhere: security.authorization: enabled in mongod.conf, and a restart",
        ("B5", "guide: MongoDB 2", "mongodb.com: security checklist", f"{_CIS}: 2.1"),
    ),
    Check(
        "mongodb.localhost-exception",
        "nobody makes the first login from the server's own machine",
        "high",
        _exception_closed,
        "enableLocalhostAuthBypass false, or a login that is there already",
        "'mngdb up'; elsewhere: setParameter: {enableLocalhostAuthBypass: false}, and a restart",
        ("mongodb.com: localhost exception", f"{_CIS}: 2.2"),
    ),
    Check(
        "mongodb.admins",
        "only one login administers",
        "high",
        _admins,
        "nobody else may make logins, shut the server down or set its parameters",
        "db.revokeRolesFromUser(NAME, [ROLE])",
        ("B5", _ROLES, f"{_CIS}: 3.1"),
    ),
    Check(
        "mongodb.superuser",
        "no login may do everything",
        "critical",
        _no_superuser,
        "nobody has __system: it is for the members of a set among themselves",
        "db.revokeRolesFromUser(NAME, ['__system'])",
        (_ROLES, f"{_CIS}: 3.4"),
    ),
    Check(
        "mongodb.app-own-database",
        "each app acts in its own database only",
        "critical",
        _own_database,
        "no other database, and nothing of the server",
        _LESS,
        (
            "B5",
            "guide: MongoDB 2",
            "mongodb.com: role-based access control",
            f"{_CIS}: 3.1",
            "guide: checklist",
        ),
    ),
    Check(
        "mongodb.app-harmless",
        "apps do not administer their database",
        "high",
        _harmless,
        "no dropDatabase, createUser, grantRole, enableProfiler and their like",
        _LESS,
        ("B5", "guide: MongoDB 2", _ROLES, f"{_CIS}: 3.4", "guide: checklist"),
    ),
    Check(
        "mongodb.app-useful",
        "apps can do what they need",
        "high",
        _useful,
        "find, and where they write: insert update remove createCollection createIndex",
        _UP + "db.grantRolesToUser(NAME, [ROLE])",
        ("B5", _ROLES),
    ),
    Check(
        "mongodb.app-readonly",
        "apps that only read cannot write",
        "high",
        _readers_only_read,
        "no insert, update, remove, createCollection, createIndex",
        _LESS,
        ("B5", _ROLES, f"{_CIS}: 3.1"),
    ),
    Check(
        "mongodb.logins-known",
        "every login is in the file",
        "medium",
        _all_known,
        "the administrator, the monitor and the apps",
        "mngdb up --allow NAME takes its roles, or a line under apps: in the file",
        ("B5", "mongodb.com: security checklist", f"{_CIS}: 3.1"),
    ),
    Check(
        "mongodb.scram-sha-1",
        "nobody can log in by SCRAM-SHA-1",
        "medium",
        _modern,
        "SCRAM-SHA-256 only",
        "db.updateUser(NAME, {pwd: passwordPrompt(), mechanisms: ['SCRAM-SHA-256']})",
        ("mongodb.com: SCRAM",),
    ),
    Check(
        "mongodb.scram-rounds",
        "a stolen verifier does not give the password away",
        "medium",
        _stretched,
        "15000 rounds (the default) or more; random passwords of 32 characters need no stretching",
        "setParameter: {scramSHA256IterationCount: 15000}, then a new password for the login",
        ("mongodb.com: parameters",),
    ),
    Check(
        "mongodb.password-known",
        "no password is one that everybody tries",
        "critical",
        _not_guessed,
        "none of the usual list, the guide's examples included, nor the login's name",
        "mngdb secret set NAME (or remove it: 'mngdb up' makes a random one)",
        ("B5", "guide: MongoDB 2"),
    ),
    Check(
        "mongodb.password-strength",
        "passwords are long, or of all kinds of characters",
        "high",
        _strong,
        "16 characters with both cases, digits and signs; or 32",
        "remove the secret from the vault: 'mngdb up' makes one of 40",
        ("B5", "guide: MongoDB 2"),
    ),
    Check(
        "mongodb.secrets-agree",
        "the vault's secrets open their logins",
        "high",
        _agreed,
        "the server's verifier is that of the secret",
        "'mngdb up' gives the server the vault's secrets",
        ("A12",),
    ),
)
