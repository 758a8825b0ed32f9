"""What may be a name, and why.

Names of stacks, apps and instances become unit names, file names, logins and variable names, so
they are kept plain. Names of databases, collections and keys belong to the engines; what an engine
can quote is taken, the rest is refused here, before anything is touched.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

#: Logins that the engines or mngdb itself use.
RESERVED_APPS = frozenset(
    {
        "admin",
        "default",
        "public",
        "postgres",
        "root",
        "replication",
        "keyfile",
        "monitor",
        "mngdb",
        "mngdb_restoring",
        "none",
        "jwt-secrets",  # the document of the signing keys
    }
)
_PLAIN = r"^[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*$"


def check_plain(value: str) -> str:
    """A name that can be a unit, a file, a login and a variable. Raises ValueError."""
    if len(value) > 40:
        raise ValueError(f"{_short(value)} is longer than 40 characters")
    if not re.fullmatch(_PLAIN, value):
        raise ValueError(
            f"{_short(value)} is not a valid name; use a-z, 0-9 and single - or _ between them, "
            "beginning with a letter"
        )
    return value


def check_app(value: str) -> str:
    """The name of an app: a plain name that no engine has taken. Raises ValueError."""
    check_plain(value)
    if value in RESERVED_APPS or value.startswith("pg_") or value.startswith("pg-"):
        raise ValueError(f"{value!r} is reserved; choose another name for the app")
    return value


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:37] + "...")


def _no_control(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{_short(value)} has an unprintable character")
    return value


def _postgres(value: str) -> str:
    """PostgreSQL quotes anything but NUL; identifiers are cut after 63 bytes, silently."""
    _no_control(value)
    if not value or len(value.encode()) > 63:
        raise ValueError(f"{_short(value)} has to be 1 to 63 bytes long (PostgreSQL's limit)")
    if value in {"template0", "template1"} or value != value.strip():
        raise ValueError(f"{_short(value)} cannot be the name of an app's database")
    if value in {"all", "sameuser", "samerole", "samegroup", "replication"} or value[0] in "@/+":
        raise ValueError(f"{_short(value)} has a special meaning in pg_hba.conf")
    return value


def _mongo_database(value: str) -> str:
    """https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions"""
    _no_control(value)
    if value.endswith("*"):
        raise ValueError(
            f"{_short(value)}: MongoDB grants rights by whole names only; name each database"
        )
    if not value or len(value.encode()) > 63 or re.search(r'[/\\. "$*<>:|?]', value):
        raise ValueError(
            f'{_short(value)} has to be 1 to 63 bytes long, without any of / \\ . " $ * < > : | ? '
            "and space (MongoDB's limit)"
        )
    if value.lower() in {"admin", "local", "config"}:
        raise ValueError(f"{value!r} is a MongoDB system database")
    return value


def _mongo_collection(value: str) -> str:
    _no_control(value)
    wrong = "$" in value or value.startswith(("system.", ".")) or value.endswith(".")
    if not value or len(value.encode()) > 180 or wrong or ".." in value:
        raise ValueError(
            f"{_short(value)} is not a collection name: 1 to 180 bytes, no $, no empty part "
            "between "
            "dots, not beginning with 'system.'"
        )
    return value


def _mongo_field(value: str) -> str:
    _no_control(value)
    if not value or ("$" in value and value != "$**" and not value.endswith(".$**")):
        raise ValueError(f"{_short(value)} is not a field that can be indexed")
    if "" in value.split("."):
        raise ValueError(f"{_short(value)} has an empty part between dots")
    return value


def _redis_pattern(value: str) -> str:
    return _unquoted(value, "a key pattern", r"\[\]", "square brackets")


def _redis_glob(value: str) -> str:
    """As PSUBSCRIBE takes it: with classes, too."""
    return _unquoted(value, "a pattern of channels")


def _unquoted(value: str, what: str, signs: str = "", named: str = "") -> str:
    """An ACL rule is split at white space and cannot be quoted."""
    _no_control(value)
    if not value or len(value) > 256 or re.search(rf"[\s()\"'\\{signs}]", value):
        without = ", ".join(filter(None, ("spaces", "quotes", "parentheses", named)))
        raise ValueError(
            f"{_short(value)} is not {what}: 1 to 256 characters, without {without} and backslashes"
        )
    return value


def _instance(value: str) -> str:
    """Without `_`, so that the secret INSTANCE_APP names one pair only."""
    if "_" in value:
        raise ValueError(f"{_short(value)}: instance names cannot contain '_'; use '-'")
    return check_plain(value)


PlainName = Annotated[
    str, AfterValidator(check_plain), Field(json_schema_extra={"pattern": _PLAIN})
]
InstanceName = Annotated[
    str, AfterValidator(_instance), Field(json_schema_extra={"pattern": _PLAIN})
]
PostgresName = Annotated[str, AfterValidator(_postgres)]
MongoDatabaseName = Annotated[str, AfterValidator(_mongo_database)]
MongoCollectionName = Annotated[str, AfterValidator(_mongo_collection)]
MongoFieldName = Annotated[str, AfterValidator(_mongo_field)]
RedisPattern = Annotated[str, AfterValidator(_redis_pattern)]
RedisGlob = Annotated[str, AfterValidator(_redis_glob)]
