"""Settings that a session of ours begins with, whatever its database or its login carries.

The owner of a database gives it settings by ALTER DATABASE … SET, a login gives itself some by
ALTER ROLE … SET, and every session there begins with them: a timeout of a millisecond, a library
that there is not, a search_path with functions of the owner's making. What the start-up packet
says in `options` wins over both, and costs no round trip.

https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-SQL
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

#: What could keep a session of ours from its start or from its work, or change what it reads.
GUARDS: Mapping[str, str] = {
    "search_path": "pg_catalog,pg_temp",
    "role": "none",
    "local_preload_libraries": "",  # one that there is not ends the session before it begins
    "statement_timeout": "60s",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "tcp_user_timeout": "0",
    "exit_on_error": "off",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "default_table_access_method": "heap",
    "default_tablespace": "",
    "temp_tablespaces": "",
    "row_security": "on",
    "client_encoding": "UTF8",
    "client_min_messages": "warning",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "array_nulls": "on",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "jit": "off",
    "plpgsql.variable_conflict": "error",
    "plpgsql.extra_errors": "none",
    "plpgsql.extra_warnings": "none",
    "plpgsql.check_asserts": "on",
}
#: Those that the server's own programs, such as pg_dump, do not set themselves, or too late; what a
#: dump looks like is theirs to say.
_OF_PROGRAMS = (
    *("search_path", "role", "local_preload_libraries", "lock_timeout", "exit_on_error"),
    *("idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"),
    *("tcp_user_timeout", "default_transaction_isolation", "default_transaction_deferrable"),
)
#: Those that a person's own session begins with, and what differs there. Names of an app's schemas
#: have to be written out: its function or operator that fits better would run as the administrator,
#: also in what psql itself asks for `\\d`.
_OF_PEOPLE = (
    *("role", "local_preload_libraries", "exit_on_error", "tcp_user_timeout"),
    *("default_transaction_read_only", "standard_conforming_strings", "transform_null_equals"),
    *("idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"),
)
_FOR_PEOPLE = {"search_path": "", "statement_timeout": "0", "lock_timeout": "0"}
#: The major version that brought a setting; an older server refuses the session for its name.
_SINCE = {"transaction_timeout": 17, "idle_session_timeout": 14}
_VERSIONS = sorted(set(_SINCE.values()))
#: The minor version of a major one that brought restrict_nonsystem_relation_kind.
_RESTRICTS = {12: 20, 13: 16, 14: 13, 15: 8, 16: 4}
#: Names that end no session and that neither RESET nor `options` take.
_NEVER = ("transaction_isolation", "transaction_read_only", "transaction_deferrable")

#: Every other setting that databases, and this login in them, carry: database ('' for all), name,
#: the server's own value. A setting that only a superuser gives is nobody's trick.
CARRIED = """
SELECT DISTINCT coalesce(d.datname, ''), p.name, p.reset_val
FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase,
     unnest(s.setconfig) one JOIN pg_settings p ON lower(p.name) = lower(split_part(one, '=', 1))
WHERE p.context = 'user' AND p.name <> ALL(%s) AND lower(p.name) <> ALL(%s)
  AND (s.setrole = 0 OR s.setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user))
"""
CARRIED_VALUES = (list(_NEVER), [name.lower() for name in GUARDS])


def carried(rows: Sequence[tuple[Any, ...]], database: str) -> dict[str, str]:
    """What a session in `database` overrides beyond `GUARDS`, from the rows of `CARRIED`."""
    return {name: value for where, name, value in rows if where in {"", database}}


def options(guards: Mapping[str, str]) -> str:
    """The `options` of a start-up packet."""
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in guards.items())


def known_to(guards: Mapping[str, str], version: int) -> dict[str, str]:
    """Those of them that a server of this major version knows."""
    return {name: value for name, value in guards.items() if _SINCE.get(name, 0) <= version}


def of_programs(version: int) -> str:
    """PGOPTIONS of a program that reads all rows, however long it takes, from a server of this
    major version."""
    wanted = {name: GUARDS[name] for name in _OF_PROGRAMS}
    return options(known_to(wanted | {"statement_timeout": "0", "row_security": "off"}, version))


def of_people() -> str:
    """PGOPTIONS of an administrator's own client, for a server of any version."""
    return options(known_to({name: GUARDS[name] for name in _OF_PEOPLE} | _FOR_PEOPLE, 0))


def before(version: int) -> int:
    """The next older version to try with a server that did not know a name of this one."""
    return max((one for one in _VERSIONS if one < version), default=0)


def restricts(version: int) -> bool:
    """Whether a server of this version (170005 is 17.5) has restrict_nonsystem_relation_kind."""
    major, minor = divmod(version, 10_000)
    return major > max(_RESTRICTS) or minor >= _RESTRICTS.get(major, 10_000)


#: The newest version of which a name is known here.
NEWEST = _VERSIONS[-1]


def plain(value: str) -> bool:
    """Whether a value that others wrote may stand in `options`: the server splits them at what its
    locale takes for a space, byte by byte."""
    return re.fullmatch(r"[!-~ ]*", value) is not None


def _escaped(value: str) -> str:
    return re.sub(r"([\\\s])", r"\\\1", value)
