"""What has to be true of an app's environment: the guide's EnvValidationService.

Sources: the requirements (B5, B6, B12, B19, B21, B22); the guide's chapters "MongoDB 2", "MongoDB
3", "Redis 1" and "secrets".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mngdb.checks import uris
from mngdb.checks.catalogue import checks
from mngdb.checks.strength import long_enough, no_placeholder, random_enough
from mngdb.facts.environment import EnvFacts, EnvFile
from mngdb.findings import Check, Judgement, judged, listed, not_applicable
from mngdb.literals import placeholder

#: Variables whose value is a secret, whoever gives it that name.
SECRET_NAME = re.compile(
    r"(?:^|^PG|_)(?:PASSWORD|PASSWD|PASS|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|SECRET_?KEY|ACCESS_?KEY)$"
    r"|^JWT_(?:CURRENT|PREVIOUS)$"
)
#: Variables whose value is the name of a login.
_LOGIN_NAME = re.compile(r"(?:_|^PG)USER(?:NAME)?$")
#: Logins that administer, or that nobody is.
_ADMINS = {"postgres", "root", "admin", "default", "mngdb", "administrator", "sa"}
_SWITCH = {"true", "1", "yes", "on"}


def _uris(facts: EnvFacts) -> Iterator[tuple[str, uris.Uri]]:
    for name, secret in facts.variables.items():
        if uris.is_uri(secret.reveal()):
            yield name, uris.read(secret.reveal())


def passwords(variables: EnvFacts) -> Iterator[tuple[str, str]]:
    """Every secret in the variables: variable and value."""
    for name, secret in variables.variables.items():
        if SECRET_NAME.search(name) and secret.reveal():
            yield name, secret.reveal()
    for name, uri in _uris(variables):
        if uri.password is not None:
            yield name, uri.password


#: What a stack issues, and the app's own keys; whoever issues another decides how long it is.
_ISSUED = re.compile(
    r"^(?:MONGO|REDIS|POSTGRES|PG|DB_|DATABASE|JWT|SESSION|APP_|COOKIE)|^SECRET_KEY"
)


def _issued(facts: EnvFacts) -> Iterator[tuple[str, str]]:
    """Of the passwords, those of which somebody here decides."""
    needed = {name for names in facts.needed.values() for name in names}
    for name, value in passwords(facts):
        if name in needed or _ISSUED.search(name) or uris.is_uri(facts.variables[name].reveal()):
            yield name, value


def _of_file(judge: Callable[[EnvFile], Judgement]) -> Callable[[EnvFacts], Judgement]:
    def judged(facts: EnvFacts) -> Judgement:
        return (
            not_applicable("read from the process's environment")
            if facts.file is None
            else judge(facts.file)
        )

    return judged


def _complete(facts: EnvFacts) -> Judgement:
    missing = [
        f"{name} ({app})"
        for app, needed in facts.needed.items()
        for name in needed
        if not {name, _twin(name)} & facts.variables.keys()
    ]
    count = len({name for needed in facts.needed.values() for name in needed})
    return listed(missing, f"all {count} of {', '.join(facts.needed)}")


def _twin(name: str) -> str:
    """The other name of a variable: a database has two, and one of them is enough."""
    head, _, last = name.rpartition("_")
    return {"DB": f"{head}_DATABASE", "DATABASE": f"{head}_DB"}.get(last, name)


def _empty(facts: EnvFacts) -> Judgement:
    empty = {
        name
        for needed in facts.needed.values()
        for name, wanted in needed.items()
        if wanted.reveal() and name in facts.variables and not facts.variables[name].reveal()
    }
    return listed(sorted(empty), "none")


def _current(facts: EnvFacts) -> Judgement:
    """Several apps have variables of the same names; what any of them has is right."""
    if not facts.kept.value:
        return not_applicable("the stack has no secrets for them yet")
    right: dict[str, set[str]] = {}
    for needed in facts.needed.values():
        for name, wanted in needed.items():
            right.setdefault(name, set()).add(wanted.reveal())
    other = [
        name
        for name, values in right.items()
        if name in facts.variables
        and facts.variables[name].reveal() not in values
        # how many connections, and how long to wait, is the app's own choice
        and not re.search(r"_(?:POOL_SIZE|TIMEOUT_MS|RETRY_READS|RETRY_WRITES)$", name)
    ]
    return listed(other, "as 'mngdb env' has them")


def _well_formed(facts: EnvFacts) -> Judgement:
    found = list(_uris(facts))
    bad = [f"{name} {uri.wrong}" for name, uri in found if uri.wrong]
    named = [
        f"{name} is not a connection string"
        for name, secret in facts.variables.items()
        if any(name in needed for needed in facts.needed.values())
        and name.endswith(("_URL", "_URI"))
        and secret.reveal()
        and not uris.is_uri(secret.reveal())
    ]
    return listed([*bad, *named], f"{len(found)} connection strings")


def _encoded(facts: EnvFacts) -> Judgement:
    bad = [name for name, uri in _uris(facts) if not uri.encoded]
    return listed(bad, "all special characters are encoded")


def _mongodb(option: str, wanted: str) -> Callable[[EnvFacts], Judgement]:
    def judge(facts: EnvFacts) -> Judgement:
        found = {name: uri for name, uri in _uris(facts) if uri.engine == "mongodb"}
        if not found:
            return not_applicable("no MongoDB connection string")
        bad = [
            f"{name}: {option} {'differs' if option.lower() in uri.options else 'is missing'}"
            for name, uri in found.items()
            if uri.options.get(option.lower()) != wanted
        ]
        return listed(bad, f"{option}={wanted}")

    return judge


def _tls(facts: EnvFacts) -> Judgement:
    found = [
        (name, uri)
        for name, uri in _uris(facts)
        if facts.encrypted or not (uri.local or facts.inside.issuperset(uri.hosts))
    ]
    if not found:
        return not_applicable("no server is remote, and none requires TLS")
    # of what has no word for it in its URL
    mode = facts.variables.get("PGSSLMODE", facts.variables.get("POSTGRES_SSLMODE"))
    elsewhere = mode is not None and mode.reveal() in {"verify-full", "verify-ca"}
    bad = [
        name
        for name, uri in found
        if not (uri.encrypts or (elsewhere and uri.engine == "postgres" and uri.silent))
    ]
    off = [
        name
        for name, secret in facts.variables.items()
        if name.endswith("_USE_TLS") and secret.reveal().lower() not in _SWITCH
    ]
    mixed = off if any(uri.engine == "mongodb" for _, uri in found) else []
    return listed([*bad, *mixed], "encrypted, certificates are verified")


def _numbers(facts: EnvFacts, variable: str, option: str) -> Iterator[tuple[str, str]]:
    for name, secret in facts.variables.items():
        if name.endswith(variable):
            yield name, secret.reveal()
    for name, uri in _uris(facts):
        if option in uri.options:
            yield f"{name}: {option}", uri.options[option]


def _bounded(variable: str, option: str, low: int, high: int) -> Callable[[EnvFacts], Judgement]:
    def judge(facts: EnvFacts) -> Judgement:
        found = list(_numbers(facts, variable, option))
        if not found:
            return not_applicable(f"not set ({variable.lstrip('_')})")
        bad = [
            name
            for name, value in found
            if not (re.fullmatch(r"\d{1,9}", value) and low <= int(value) <= high)
        ]
        return listed(bad, f"{low} to {high}")

    return judge


def _login(facts: EnvFacts) -> Judgement:
    every = (one for needed in facts.needed.values() for one in needed.items())
    nameless = {n for n, s in every if uris.is_uri(s.reveal()) and not uris.read(s.reveal()).user}
    users = {
        **{n: s.reveal() for n, s in facts.variables.items() if _LOGIN_NAME.search(n)},
        # without a name Redis logs in as default, which is an app's where the file says so
        **{
            n: uri.user or "default" * (uri.engine == "redis" and n not in nameless)
            for n, uri in _uris(facts)
        },
    }
    owned = facts.needed.keys()  # an app may be called admin
    bad = [n for n, user in users.items() if user.lower() in _ADMINS and user not in owned]
    return listed(bad, "the app's own login")


def _ignored(file: EnvFile) -> Judgement:
    if file.ignored.value is None:
        return not_applicable("the file is not in a repository")
    return judged(file.ignored.value, "ignored" if file.ignored.value else "git does not ignore it")


def _committed(file: EnvFile) -> Judgement:
    if file.ignored.value is None:
        return not_applicable("the file is not in a repository")
    return listed(file.committed.value, "in no commit of any branch")


def _example(facts: EnvFacts) -> Judgement:
    if facts.file is None:
        return not_applicable("read from the process's environment")
    if facts.file.example is None:
        return judged(False, "there is none")
    missing = sorted(facts.variables.keys() - facts.file.example.keys())
    return listed([f"without {name}" for name in missing], f"{len(facts.file.example)} variables")


def _example_clean(facts: EnvFacts) -> Judgement:
    if facts.file is None or facts.file.example is None:
        return not_applicable("there is none")
    example = EnvFacts(facts.file.example, None, {}, facts.kept, False)
    real = {value for _, value in passwords(facts)}
    real |= {secret.reveal() for secret in (facts.kept.found or {}).values()}
    bad = [
        name
        for name, value in passwords(example)
        if value in real or not (placeholder(value) or len(value) < 8)
    ]
    return listed(list(dict.fromkeys(bad)), "placeholders only")


def _aws(facts: EnvFacts) -> Judgement:
    def given(name: str) -> str:
        return facts.variables[name].reveal() if name in facts.variables else ""

    if given("USE_AWS_SECRETS").lower() not in _SWITCH:
        return not_applicable("USE_AWS_SECRETS is not true")
    bad = [name for name in ("AWS_REGION", "AWS_SECRET_NAME") if not given(name)]
    if given("AWS_SECRETS_FAIL_OPEN").lower() not in {"false", "0", "no", "off"}:
        bad.append("AWS_SECRETS_FAIL_OPEN is not false")
    return listed(bad, "complete, and a failure stops the app")


CHECKS: tuple[Check[EnvFacts], ...] = checks(
    __file__,
    {
        "env.readable": _of_file(
            lambda file: listed([f"line {number}" for number in file.unreadable], "every line")
        ),
        "env.duplicates": _of_file(lambda file: listed(file.duplicates, "each is set once")),
        "env.unambiguous": _of_file(
            lambda file: listed(file.ambiguous, "shells, Compose and libraries agree")
        ),
        "env.complete": _complete,
        "env.empty": _empty,
        "env.current": _current,
        "env.uris": _well_formed,
        "env.encoding": _encoded,
        "env.retry-writes": _mongodb("retryWrites", "true"),
        "env.write-concern": _mongodb("w", "majority"),
        "env.tls": _tls,
        "env.pool": _bounded("_POOL_SIZE", "maxpoolsize", 1, 100),
        "env.connect-timeout": _bounded("_CONNECT_TIMEOUT_MS", "connecttimeoutms", 1000, 30_000),
        "env.socket-timeout": _bounded("_SOCKET_TIMEOUT_MS", "sockettimeoutms", 1000, 300_000),
        "env.password-length": lambda facts: long_enough((n, len(v)) for n, v in _issued(facts)),
        "env.password-strength": lambda facts: random_enough(_issued(facts)),
        "env.placeholder": lambda facts: no_placeholder(passwords(facts)),
        "env.login": _login,
        "env.file-mode": _of_file(
            lambda file: judged(not file.mode & 0o077, f"{file.name}: mode {file.mode:o}")
        ),
        "env.ignored": _of_file(_ignored),
        "env.committed": _of_file(_committed),
        "env.example": _example,
        "env.example-clean": _example_clean,
        "env.aws": _aws,
    },
)
