"""What an app's driver is told: its dialect of the connection string, with and without TLS."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mngdb.engines.redis.access import plain_url, url
from mngdb.model import Access, DesiredInstance, Told
from mngdb.spec.redis import RedisGrant


def tell(access: Access, asked: DesiredInstance, app: str, driver: str) -> Told:
    """What an app is told, so that `driver` understands it; empty: redis-py."""
    grant = asked.instance.granted(RedisGrant)[app]
    parts = {
        "url": url(access),
        **access.parts(),
        **({"user": ""} if grant.default else {}),
        "db": access.database or "0",
        "tls": "true" if access.tls else "false",
    }
    if access.ca:
        parts["ca"] = access.ca
    if grant.prefix:
        parts["key_prefix"] = grant.prefix
    return _DRIVERS[driver](access, parts)


def _redis_py(_: Access, parts: Mapping[str, str]) -> Told:
    return Told(parts)


def _found_by(variable: str) -> Callable[[Access, Mapping[str, str]], Told]:
    """Drivers that refuse or ignore a CA in the URL, but whose runtime reads a variable for it;
    empty: it has none, and the program has to read the part `ca`."""

    def told(access: Access, parts: Mapping[str, str]) -> Told:
        process = {variable: access.ca} if variable and access.tls and access.ca else {}
        return Told({**parts, "url": plain_url(access)}, process)

    return told


def _spring(access: Access, parts: Mapping[str, str]) -> Told:
    own = {
        "HOST": access.host,
        "PORT": str(access.port),
        "DATABASE": parts["db"],
        "PASSWORD": parts["password"],
    }
    if parts["user"]:
        own["USERNAME"] = parts["user"]
    process = {}
    if access.tls:
        own["SSL_ENABLED"] = "true"
    if access.tls and access.ca:
        own["SSL_BUNDLE"] = "redis"
        process["SPRING_SSL_BUNDLE_PEM_REDIS_TRUSTSTORE_CERTIFICATE"] = access.ca
    return Told(parts, process, {f"SPRING_DATA_REDIS_{key}": value for key, value in own.items()})


_node = _found_by("NODE_EXTRA_CA_CERTS")
# Go and Ruby read this file besides the folder of the system's CAs
_openssl = _found_by("SSL_CERT_FILE")
_java = _found_by("")
_DRIVERS: Mapping[str, Callable[[Access, Mapping[str, str]], Told]] = {
    "": _redis_py,
    "django": _redis_py,
    "go": _openssl,
    "ioredis": _node,
    "jedis": _java,
    "lettuce": _java,
    "node": _node,
    "node-redis": _node,
    "rails": _openssl,
    "spring": _spring,
}
