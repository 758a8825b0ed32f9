"""Who logs in where, and how each side is known: accesses, libpq's parameters, connection strings.

https://www.postgresql.org/docs/current/libpq-connect.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, unquote, urlsplit

from msgspec.structs import replace

from mngdb.dial import stays_here
from mngdb.engines.postgres import guards
from mngdb.engines.postgres.render import ADMIN
from mngdb.errors import UsageError
from mngdb.model import Access, DesiredInstance, ShellCommand
from mngdb.secret import login_of
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import POSTGRES
from mngdb.spec.postgres import PostgresGrant

#: The only proof that a server may ask for. In it the server proves itself, too; without the
#: parameter, libpq gives the password to whoever asks for it in clear.
REQUIRED = "scram-sha-256"
REQUIRE_AUTH = "require_auth"
#: The same as a variable of libpq: what is made of libpq gives no password to an impostor.
PGREQUIREAUTH = "PGREQUIREAUTH"


def admin(asked: DesiredInstance) -> Access:
    """The administrator of a managed server."""
    return asked.access(ADMIN, "postgres", **{REQUIRE_AUTH: REQUIRED})


def external(asked: DesiredInstance, url: str) -> Access:
    """The administrator's access to a server that is given by its URL. Raises UsageError."""
    name = asked.instance.name
    try:
        parts = urlsplit(url)
        port = parts.port or POSTGRES.port
    except ValueError as error:
        raise UsageError(f"{name}: invalid url: {error}") from None
    if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname:
        raise UsageError(
            f"{name}: {url!r} is not a PostgreSQL URL",
            "write postgresql://admin@host:5432/postgres",
        )
    # libpq's own default: encrypted where the server can
    options = {"sslmode": "prefer"}
    options |= {key: values[-1] for key, values in parse_qs(parts.query).items()}
    ca = options.pop("sslrootcert", None)
    if ca == "system":
        ca = None
    if options["sslmode"] == "require" and ca:
        options["sslmode"] = "verify-ca"  # as libpq takes the two together
    if options["sslmode"] == "verify-ca" and ca is None:
        raise UsageError(
            f"{name}: sslmode=verify-ca in the url needs the CA's certificate",
            "add sslrootcert=/path/ca.pem; or sslmode=verify-full, for a CA that the system trusts",
        )
    return Access(
        engine="postgres",
        host=parts.hostname,
        port=port,
        user=unquote(parts.username or "postgres"),
        password=asked.secrets["admin"],
        database=unquote(parts.path.lstrip("/")) or "postgres",
        tls=asked.instance.tls or options["sslmode"].startswith("verify"),
        ca=ca,
        options=options | {REQUIRE_AUTH: REQUIRED},
        instance=name,
    )


def login(asked: DesiredInstance, at: Access, app: str) -> Access:
    """The access of an app, or of the monitor, to the server that `at` leads to."""
    # drivers of apps that are not made of libpq refuse the parameter, or hand it to the server
    options = {k: v for k, v in at.options.items() if k != REQUIRE_AUTH}
    at = replace(at, user=app, password=asked.secrets[app], options=options)
    if app == MONITOR:
        return at
    at = replace(at, user=login_of(app, asked.secrets[app]))
    return replace(at, database=asked.instance.granted(PostgresGrant)[app].database)


def sslmode(access: Access) -> str:
    """How a client goes about encryption; a server with TLS is always verified."""
    said = access.options.get("sslmode", "disable")
    if not access.tls:
        return said
    return said if said == "verify-ca" and access.ca else "verify-full"


def tls_parameters(access: Access) -> dict[str, str]:
    """libpq's parameters for encryption."""
    found = {"sslmode": sslmode(access)}
    return found | {"sslrootcert": access.ca or "system"} if access.tls else found


def proof(access: Access) -> dict[str, str]:
    """libpq's parameters for how the server has to prove itself."""
    if access.password is None:
        # over the socket, where the kernel vouches for both sides. Said, for a shell may have
        # PGREQUIREAUTH from 'mngdb env'
        account = access.proof.account() if access.proof else ""
        return {REQUIRE_AUTH: "none"} | ({"requirepeer": account} if account else {})
    return {REQUIRE_AUTH: f"{REQUIRED},none" if access.unasked else REQUIRED}


def unverified(access: Access) -> str:
    """See Engine.unverified."""
    mode = sslmode(access)
    if access.proof or stays_here(access) or mode.startswith("verify"):
        return ""
    how = (
        "encrypts without verifying the server"
        if mode == "require"
        else "may go without encryption"
    )
    return (
        f"sslmode={mode} {how}: anyone on the network path can read and change every query and "
        "row (not the password, which SCRAM protects)"
    )


def url(access: Access) -> str:
    """The connection string, percent-encoded; not so the slashes of the CA's path, which libpq
    takes as they are: files that interpolate `%` (Alembic's alembic.ini) refuse them encoded."""
    # also without TLS: lib/pq and others would want it where nothing is said
    return composed(access, dict(access.options) | tls_parameters(access))


def composed(access: Access, query: Mapping[str, str], scheme: str = "postgresql") -> str:
    """A connection string with these parameters. Without a scheme, it has no login."""
    host = f"[{access.host}]" if ":" in access.host else access.host
    options = "&".join(f"{k}={quote(v)}" for k, v in query.items())
    place = f"{host}:{access.port}/{quote(access.database, safe='')}"
    place += f"?{options}" if options else ""
    if not scheme:
        return place
    password = f":{quote(access.password.reveal(), safe='')}" if access.password else ""
    return f"{scheme}://{quote(access.user, safe='')}{password}@{place}"


def shell(access: Access, folder: str | None) -> ShellCommand:
    """psql, the server's own first."""
    env = {
        "PGHOST": access.socket or access.host,
        "PGPORT": str(access.port),
        "PGUSER": access.user,
        "PGDATABASE": access.database,
        "PGAPPNAME": "mngdb shell",
    }
    if access.password:
        env |= {"PGPASSWORD": access.password.reveal(), PGREQUIREAUTH: REQUIRED}
    if access.tls:
        env |= {"PGSSLMODE": sslmode(access), "PGSSLROOTCERT": access.ca or "system"}
    elif "sslmode" in access.options:
        env["PGSSLMODE"] = access.options["sslmode"]  # psql's own default encrypts if it can
    own = ((f"{folder}/psql", ()),) if folder else ()
    # what a person sets comes last, and wins
    options = f"{guards.of_people()} {os.environ.get('PGOPTIONS', '')}".rstrip()
    return ShellCommand(
        (*own, ("psql", ()), ("pgcli", ())),
        env,
        "install postgresql-client (it has psql)",
        statement="-c",
        guards={"PGOPTIONS": options},
        note="search_path is empty: write names with their schema (public.NAME)",
    )
