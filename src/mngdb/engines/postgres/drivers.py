"""What an app's driver is told: its dialect of the connection string, with and without TLS.

- libpq: https://www.postgresql.org/docs/current/libpq-connect.html
- asyncpg: https://magicstack.github.io/asyncpg/current/api/index.html#connection
- pgjdbc: https://jdbc.postgresql.org/documentation/use/
- Prisma: https://www.prisma.io/docs/orm/overview/databases/postgresql
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mngdb.dial import stays_here
from mngdb.engines.postgres.access import (
    PGREQUIREAUTH,
    REQUIRED,
    composed,
    sslmode,
    tls_parameters,
    url,
)
from mngdb.model import Access, Told

_REQUIRE = {PGREQUIREAUTH: REQUIRED}
#: Where Linux distributions have the CAs that the system trusts, for who cannot ask the system.
_SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"


def tell(access: Access, driver: str) -> Told:
    """What an app is told, so that `driver` understands it; empty: what is made of libpq."""
    parts = {
        "url": url(access),
        **access.parts(),
        "database": access.database,
        "db": access.database,  # as the image and requirement A7 have it
        "sslmode": sslmode(access),
    }
    if access.ca:
        parts["sslrootcert"] = access.ca
    return _DRIVERS[driver](access, parts)


def _libpq(_: Access, parts: Mapping[str, str]) -> Told:
    return Told(parts, _REQUIRE)


def _environment(access: Access, parts: Mapping[str, str]) -> Told:
    """For who reads the variables of libpq."""
    found = {
        "PGHOST": access.host,
        "PGPORT": str(access.port),
        "PGUSER": access.user,
        "PGPASSWORD": parts["password"],
        "PGDATABASE": access.database,
    }
    found |= {f"PG{name.upper()}": value for name, value in tls_parameters(access).items()}
    return Told(parts, _REQUIRE, found)


def _framework(_: Access, parts: Mapping[str, str]) -> Told:
    """Django (dj-database-url, django-environ) and Rails hand the query to libpq."""
    return Told(parts, _REQUIRE, {"DATABASE_URL": parts["url"]})


def _asyncpg(access: Access, parts: Mapping[str, str]) -> Told:
    query = tls_parameters(access)
    if query.get("sslrootcert") == "system":
        query["sslrootcert"] = _SYSTEM_CAS
    return _with_url(parts, composed(access, query))


def _by_environment(access: Access) -> dict[str, str]:
    """What asyncpg reads where it is given arguments, and no connection string."""
    return {"PGSSLROOTCERT": access.ca or _SYSTEM_CAS} if access.tls else {}


def _sqlalchemy_asyncpg(access: Access, parts: Mapping[str, str]) -> Told:
    """SQLAlchemy hands the query over as arguments, of which `sslmode` is none."""
    at = composed(access, {"ssl": sslmode(access)}, "postgresql+asyncpg")
    return _with_url(parts, at, _by_environment(access))


def _tortoise(access: Access, parts: Mapping[str, str]) -> Told:
    """Tortoise takes `ssl` for a boolean, so asyncpg has it from the environment."""
    mode = {"PGSSLMODE": sslmode(access)}
    return _with_url(parts, composed(access, {}, "asyncpg"), mode | _by_environment(access))


def _pg8000(access: Access, parts: Mapping[str, str]) -> Told:
    """It takes TLS as an object of Python's alone."""
    return _with_url(parts, composed(access, {}, "postgresql+pg8000"))


def _sqlalchemy(access: Access, parts: Mapping[str, str]) -> Told:
    at = composed(access, dict(access.options) | tls_parameters(access), "postgresql+psycopg")
    return _with_url(parts, at, _REQUIRE)


def _strict(access: Access) -> dict[str, str]:
    """TLS for who looks into the system's CAs where no file is named, and knows no `prefer`."""
    mode = sslmode(access)
    if mode in {"prefer", "allow"}:
        mode = "disable" if stays_here(access) else "require"
    return {"sslmode": mode} | ({"sslrootcert": access.ca} if access.tls and access.ca else {})


def _plain(access: Access, parts: Mapping[str, str]) -> Told:
    """Node.js' pg and Go's drivers: what they do not know they refuse, or hand to the server."""
    return _with_url(parts, composed(access, _strict(access)))


def _prisma(access: Access, parts: Mapping[str, str]) -> Told:
    query = {"sslmode": sslmode(access)}
    if access.tls:
        # its word for the CA is that of others for a client's own certificate
        query = {"sslmode": "require", "sslaccept": "strict"}
        query |= {"sslcert": access.ca} if access.ca else {}
    return Told(parts, own={"DATABASE_URL": composed(access, query)})


def _jdbc_url(access: Access) -> str:
    """Without user and password: pgjdbc and pools write the whole URL into errors."""
    query = {"sslmode": sslmode(access)}
    if access.tls and access.ca:
        query["sslrootcert"] = access.ca
    elif access.tls:
        query["sslfactory"] = "org.postgresql.ssl.DefaultJavaSSLFactory"
    return "jdbc:postgresql://" + composed(access, query, "")


def _jdbc(access: Access, parts: Mapping[str, str]) -> Told:
    return _with_url(parts, _jdbc_url(access))


def _spring(access: Access, parts: Mapping[str, str]) -> Told:
    own = {"URL": _jdbc_url(access), "USERNAME": access.user, "PASSWORD": parts["password"]}
    return Told(parts, own={f"SPRING_DATASOURCE_{name}": value for name, value in own.items()})


def _with_url(parts: Mapping[str, str], at: str, process: Mapping[str, str] | None = None) -> Told:
    return Told({**parts, "url": at}, process or {})


_DRIVERS: Mapping[str, Callable[[Access, Mapping[str, str]], Told]] = {
    "": _libpq,
    "asyncpg": _asyncpg,
    "django": _framework,
    "go": _plain,
    "jdbc": _jdbc,
    "libpq": _environment,
    "node": _plain,
    "prisma": _prisma,
    "psycopg": _libpq,
    "rails": _framework,
    "spring": _spring,
    "sqlalchemy": _sqlalchemy,
    "sqlalchemy-asyncpg": _sqlalchemy_asyncpg,
    "sqlalchemy-pg8000": _pg8000,
    "tortoise": _tortoise,
}
