"""What an app's driver is told. The form of the connection string is one for all drivers; those of
Java alone have no word for the CA in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from mngdb.engines.mongodb.access import USERS_IN, url
from mngdb.model import Access, Told


def tell(access: Access, driver: str) -> Told:
    """What an app is told, so that `driver` understands it: the guide's variables (MongoDB 3), the
    whole URL, its parts, and the driver's options."""
    parts = {
        "uri": url(access),
        **access.parts(),
        "database": access.database,
        "auth_source": access.options.get("authSource", USERS_IN),
        "replica_set": access.options.get("replicaSet", ""),
        "pool_size": "10",
        "connect_timeout_ms": "10000",
        "socket_timeout_ms": "45000",
        "use_tls": "true" if access.tls else "false",
        "retry_writes": access.options.get("retryWrites", "true"),
        "retry_reads": access.options.get("retryReads", "true"),
    }
    if access.tls and access.ca:
        parts["tls_ca_file"] = access.ca
    return _DRIVERS[driver](access, parts)


def _usual(_: Access, parts: Mapping[str, str]) -> Told:
    return Told(parts)


def _mongoid(_: Access, parts: Mapping[str, str]) -> Told:
    return Told(parts, own={"MONGODB_URI": parts["uri"]})


def _spring(access: Access, parts: Mapping[str, str]) -> Told:
    # Spring Boot 4 calls it spring.mongodb, 3 spring.data.mongodb
    groups = ("SPRING_DATA_MONGODB", "SPRING_MONGODB")
    own = {f"{group}_URI": url(replace(access, ca=None)) for group in groups}
    process = {}
    if access.tls and access.ca:
        own |= {f"{group}_SSL_BUNDLE": "mongodb" for group in groups}
        process["SPRING_SSL_BUNDLE_PEM_MONGODB_TRUSTSTORE_CERTIFICATE"] = access.ca
    return Told(parts, process, own)


_DRIVERS: Mapping[str, Callable[[Access, Mapping[str, str]], Told]] = {
    "": _usual,
    "go": _usual,
    "mongoose": _usual,
    "node": _usual,
    "rails": _mongoid,
    "spring": _spring,
}
