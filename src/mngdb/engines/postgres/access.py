"""Who logs in where, and how each side is known: accesses, libpq's parameters, connection strings.

https://www.postgresql.org/docs/current/libpq-connect.html
"""

from __future__ import annotations

from urllib.parse import parse_qs, quote, unquote, urlsplit

from mngdb.dial import stays_here
from mngdb.errors import UsageError
from mngdb.model import Access, Asked

#: The only proof that a server may ask for. In it the server proves itself, too; without the
#: parameter, libpq gives the password to whoever asks for it in clear.
REQUIRED = "scram-sha-256"
REQUIRE_AUTH = "require_auth"


def external(asked: Asked, url: str) -> Access:
    """The administrator's access to a server that is given by its URL. Raises UsageError."""
    name = asked.instance.name
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError as error:
        raise UsageError(f"{name}: the url is wrong: {error}") from None
    if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname:
        raise UsageError(
            f"{name}: {url!r} is no PostgreSQL URL", "write postgresql://admin@host:5432/postgres"
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
            f"{name}: sslmode=verify-ca in the url takes the CA's certificate",
            "add sslrootcert=/path/ca.pem; or sslmode=verify-full, for a CA that the system knows",
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
    how = "encrypts for whoever answers" if mode == "require" else "may go without encryption"
    return (
        f"sslmode={mode} {how}: who is on the way can read and change every query and row (the "
        "password stays secret, by SCRAM)"
    )


def url(access: Access) -> str:
    """The connection string, percent-encoded."""
    password = quote(access.password.reveal(), safe="") if access.password else ""
    host = f"[{access.host}]" if ":" in access.host else access.host
    options = (tls_parameters(access) if access.tls else {}) | {
        k: v for k, v in access.options.items() if not (access.tls and k == "sslmode")
    }
    query = "&".join(f"{k}={quote(v, safe='')}" for k, v in options.items())
    return (
        f"postgresql://{quote(access.user, safe='')}:{password}@{host}:{access.port}/"
        f"{quote(access.database, safe='')}" + (f"?{query}" if query else "")
    )
