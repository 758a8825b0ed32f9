"""Who logs in where: accesses, connection strings, variables, interactive clients."""

from __future__ import annotations

import sys
from urllib.parse import parse_qs, quote, unquote, urlsplit

from msgspec.structs import replace

from mngdb.data import texts
from mngdb.dial import stays_here
from mngdb.engines.redis import acl
from mngdb.errors import UsageError
from mngdb.model import Access, DesiredInstance, ShellCommand
from mngdb.spec.engine_info import REDIS
from mngdb.spec.redis import RedisGrant


def admin(asked: DesiredInstance) -> Access:
    """The administrator of a managed server."""
    return asked.access(acl.ADMIN, "0")


def external(asked: DesiredInstance, url: str) -> Access:
    """The administrator of a server that is given by its URL. Raises UsageError."""
    name = asked.instance.name
    hint = "write redis://admin@host:6379 or rediss://admin@host:6379?ssl_ca_certs=/path/ca.pem"
    try:
        parts = urlsplit(url)
        port = parts.port or REDIS.port
    except ValueError as error:
        raise UsageError(f"{name}: invalid url: {error}", hint) from None
    if parts.password is not None:
        raise UsageError(
            f"{name}: the url contains a password",
            f"remove it; it belongs in the secret {name}_admin",
        )
    database = parts.path.strip("/") or "0"
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    ca = query.pop("ssl_ca_certs", None)
    if (
        parts.scheme not in {"redis", "rediss"}
        or not parts.hostname
        or not database.isdecimal()
        or query
        or (ca and parts.scheme == "redis")
    ):
        raise UsageError(f"{name}: {url!r} is not a valid Redis URL", hint)
    return Access(
        engine="redis",
        host=parts.hostname,
        port=port,
        user=unquote(parts.username or acl.DEFAULT),
        password=asked.secrets.get(acl.ADMIN),
        database=database,
        tls=parts.scheme == "rediss",
        ca=ca,
        instance=name,
    )


def unverified(access: Access) -> str:
    """See Engine.unverified."""
    if access.proof or access.tls or stays_here(access):
        return ""
    return (
        "redis:// is not encrypted: anyone on the network path can read the passwords of the "
        "administrator and of every app, and read and change every key"
    )


def login(asked: DesiredInstance, at: Access, app: str) -> Access:
    """The access of an app, or of the monitor, to the server that `at` leads to."""
    grant = asked.instance.granted(RedisGrant).get(app)
    user = acl.login_name(app, grant) if grant else app
    return replace(at, user=user, password=asked.secrets[app])


def url(access: Access) -> str:
    """The connection string, percent-encoded but for the slashes of the CA's path."""
    query = ""
    if access.tls:
        # the names are redis-py's; other clients leave them alone
        ca = f"&ssl_ca_certs={quote(access.ca)}" if access.ca else ""
        query = f"?ssl_cert_reqs=required{ca}"
    return plain_url(access) + query


def shell(access: Access, folder: str | None) -> ShellCommand:
    """redis-cli or iredis for a terminal; neither says by its exit code that a command was refused,
    and iredis without a terminal runs nothing."""
    from mngdb.engines.redis import batch

    arguments = ["-h", access.host, "-p", str(access.port), "-n", access.database or "0"]
    arguments += ["--user", access.user]
    if access.tls:
        arguments += ["--tls", *(["--cacert", access.ca] if access.ca else [])]
    clients = ("redis-cli", "valkey-cli")
    names = [*(f"{folder}/{name}" for name in clients if folder), *clients]
    programs = [(name, tuple(arguments)) for name in names]
    secret = access.password.reveal() if access.password else ""
    env = {"REDISCLI_AUTH": secret} if secret else {}
    if not access.tls:
        # iredis reads the whole URL from here; it cannot be told of a CA
        programs.append(("iredis", ()))
        env["IREDIS_URL"] = plain_url(access)
    return ShellCommand(
        programs=tuple(programs),
        env=env | batch.environment(access),
        install="redis-cli (Debian: redis-tools) or iredis (pip install iredis)",
        batch=(sys.executable, "-P", "-m", batch.__name__),
        inside=("-e",),
        verbs=frozenset(texts(__file__)["commands"].split()),
    )


def plain_url(access: Access) -> str:
    """The connection string without options."""
    host = f"[{access.host}]" if ":" in access.host else access.host
    login = "" if access.user == acl.DEFAULT else f"{quote(access.user, safe='')}@"
    if access.password is not None:
        login = f"{login[:-1]}:{quote(access.password.reveal(), safe='')}@"
    scheme = "rediss" if access.tls else "redis"
    return f"{scheme}://{login}{host}:{access.port}/{access.database or '0'}"
