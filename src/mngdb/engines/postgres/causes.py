"""Why a login to PostgreSQL did not succeed, told apart by the server's and libpq's words."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import psycopg
from msgspec import Struct, convert

from mngdb.data import texts
from mngdb.errors import ConnectError, Kind
from mngdb.model import Access
from mngdb.secret import app_of

_UNPROVED = "the server at {where} did not prove that it is {server}; no password was sent"
#: What to do about a server of ours, and of others.
_MEND_OURS = "see what listens there: 'mngdb status'; 'mngdb up' rewrites pg_hba.conf"
_MEND_THEIRS = (
    "there: ALTER SYSTEM SET password_encryption = 'scram-sha-256', set the password of {user} "
    "again, and write scram-sha-256 in pg_hba.conf"
)


class _Cause(Struct, frozen=True):
    """An entry of causes.yaml."""

    says: list[str]
    kind: Kind
    message: str
    hint: str


@cache
def _causes() -> list[_Cause]:
    return convert(texts(__file__), list[_Cause])


def connect_error(
    access: Access, error: psycopg.Error, database: str, takes_tls: Callable[[], bool]
) -> ConnectError:
    """The cause of a failed login. `takes_tls` tries the same login encrypted: the server's words
    do not tell whether its hba file wants that or has no line at all."""
    text = str(error)
    server = access.proof.unit if access.proof else "the PostgreSQL of the file"
    where = f"{access.host}:{access.port}"
    words = {
        "user": access.user,
        "app": app_of(access.user),
        "instance": access.instance,
        "database": database,
        "where": where,
        "unproved": _UNPROVED.format(where=where, server=server),
        "mend": _MEND_OURS if access.proof else _MEND_THEIRS.format(user=access.user),
    }
    for cause in _causes():
        match = re.search("|".join(cause.says), text, re.IGNORECASE)
        if match is not None:
            words |= match.groupdict()
            if cause.kind == "hba" and not access.tls and "no encryption" in text and takes_tls():
                return ConnectError(
                    f"PostgreSQL accepts {access.user} only over TLS",
                    "set 'tls: true', or sslmode in the url of an external server",
                    "tls",
                )
            return ConnectError(
                cause.message.format(**words), cause.hint.format(**words), cause.kind
            )
    return ConnectError(f"cannot log in to PostgreSQL as {access.user}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The first line of a driver's error: the statement's text and context come later."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
