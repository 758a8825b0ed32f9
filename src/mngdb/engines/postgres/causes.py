"""Why a login to PostgreSQL did not succeed, told apart by the server's and libpq's words."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg

from mngdb.errors import ConnectError, Kind
from mngdb.model import Access

_UNPROVED = "the server at {where} did not prove that it is {server}; no password was sent"
#: What to do about a server of ours, and of others.
_MEND_OURS = "see what listens there: 'mngdb status'; 'mngdb up' rewrites pg_hba.conf"
_MEND_THEIRS = (
    "there: ALTER SYSTEM SET password_encryption = 'scram-sha-256', set the password of {user} "
    "again, and write scram-sha-256 in pg_hba.conf"
)
#: What the server or libpq says, the kind, our sentence, what to do.
_CAUSES: tuple[tuple[str, Kind, str, str], ...] = (
    *(
        (pattern, "stranger", f"{_UNPROVED}: {how}", "{mend}")
        for pattern, how in (
            (
                r"server requested a cleartext password",
                "it requests {user}'s password in clear text",
            ),
            (r"server requested a hashed password", "it requests {user}'s password as MD5"),
            (
                r"\"scram.* did not complete authentication",
                "it accepts {user} without authentication",
            ),
            (
                r"\"scram.* failed: server requested",
                "it does not request SCRAM-SHA-256 from {user}",
            ),
            (
                r"incorrect server signature|could not verify server signature|malformed SCRAM|"
                r"invalid SCRAM|invalid server|SCRAM nonce",
                "it cannot verify {user}'s password",
            ),
            (r"requirepeer", "its socket belongs to another account"),
        )
    ),
    (
        r"starting up|not yet accepting|shutting down|in recovery mode",
        "starting",
        "PostgreSQL is starting or stopping",
        "wait a moment and try again",
    ),
    (
        r"password authentication failed",
        "auth",
        "PostgreSQL refuses the secret of {user}: it is wrong, or the role does not exist",
        "'mngdb up' sets the role's password from the vault",
    ),
    (
        r"FATAL:\s+role \".*\" does not exist",
        "auth",
        "PostgreSQL has no role {user}",
        "run 'mngdb up'",
    ),
    (
        r"is not permitted to log in",
        "auth",
        "the role {user} is not permitted to log in",
        "the app may have left the file; 'mngdb plan' shows it",
    ),
    (
        r"server does not support SSL",
        "tls",
        "TLS is required, but the server does not support it",
        "run 'mngdb up', which restarts it with TLS",
    ),
    (
        r"certificate verify failed|certificate",
        "tls",
        "the server's certificate is not signed by the CA in the CA file",
        "run 'mngdb up'",
    ),
    (
        r"no pg_hba.conf entry|pg_hba.conf rejects",
        "hba",
        "pg_hba.conf has no entry for {user} in {database}",
        "run 'mngdb up'",
    ),
    (
        r"Peer authentication failed",
        "hba",
        "only the owner of the stack can use the socket",
        "run mngdb as the account that ran 'mngdb up'",
    ),
    (
        r"FATAL:\s+database \".*\" does not exist",
        "database",
        "the database {database} is missing",
        "run 'mngdb up'",
    ),
    (
        r"not currently accepting connections",
        "database",
        "the database {database} accepts no connections (ALLOW_CONNECTIONS false)",
        "run 'mngdb up'",
    ),
    (
        r"permission denied for database",
        "database",
        "{user} has no right to connect to {database}",
        "run 'mngdb up'",
    ),
    (
        r"FATAL:\s+out of shared memory",
        "busy",
        "PostgreSQL's lock table is full, so no session can start: a session holds too many "
        "locks (pg_advisory_lock in a loop, for instance)",
        "'mngdb restart {instance}' ends all sessions; settings: "
        "{{max_locks_per_transaction: 256}} enlarges it",
    ),
    (
        r"FATAL:\s+could not (access|load) (file|library) \"(?P<library>[^\"]*)\"",
        "library",
        "no session of {user} can start in {database}: the library {library} cannot be loaded",
        "ALTER ROLE … RESET, or ALTER DATABASE … RESET, of the setting that names it",
    ),
    (
        r"too many connections for database",
        "limit",
        "the database {database} has reached its own connection limit",
        "run 'mngdb up', which removes the limit of the database",
    ),
    (
        r"too many (connections|clients)|remaining connection slots|connection limit",
        "limit",
        "PostgreSQL has no free connection for {user}",
        "see who holds them, or raise the limit",
    ),
    (r"No space left on device", "disk", "PostgreSQL's disk is full", "free space on it"),
    (
        r"Connection refused|No such file or directory|could not connect|Name or service|timeout|"
        r"Connection reset|closed the connection|Network is unreachable|No route",
        "down",
        "PostgreSQL does not answer at {where}",
        "'mngdb status' shows what runs, 'mngdb up' starts it",
    ),
)


def connect_error(
    access: Access, error: psycopg.Error, database: str, takes_tls: Callable[[], bool]
) -> ConnectError:
    """The cause of a failed login. `takes_tls` tries the same login encrypted: the server's words
    do not tell whether its hba file wants that or has no line at all."""
    text = str(error)
    words = {
        "user": access.user,
        "instance": access.instance,
        "database": database,
        "where": f"{access.host}:{access.port}",
        "server": access.proof.unit if access.proof else "the PostgreSQL of the file",
        "mend": _MEND_OURS if access.proof else _MEND_THEIRS.format(user=access.user),
    }
    for pattern, kind, sentence, hint in _CAUSES:
        match = re.search(pattern, text, re.IGNORECASE)
        if match is not None:
            words |= match.groupdict()
            if kind == "hba" and not access.tls and "no encryption" in text and takes_tls():
                return ConnectError(
                    f"PostgreSQL accepts {access.user} only over TLS",
                    "set 'tls: true', or sslmode in the url of an external server",
                    "tls",
                )
            return ConnectError(sentence.format(**words), hint.format(**words), kind)
    return ConnectError(f"cannot log in to PostgreSQL as {access.user}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The first line of a driver's error: the statement's text and context come later."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
