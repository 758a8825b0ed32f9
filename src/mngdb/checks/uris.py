"""Reads connection strings as drivers do, and says what is wrong with one without showing it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from msgspec import Struct

from mngdb.spec.engine_info import ENGINE_INFO

#: Scheme to engine.
SCHEMES = {scheme: info.name for info in ENGINE_INFO.values() for scheme in info.schemes}
#: Drivers of Python that are schemes by themselves (Tortoise).
_DRIVERS = {"asyncpg": "postgresql", "psycopg": "postgresql"}
_URI = re.compile(r"(?:jdbc:)?(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?")
#: What RFC 3986 lets stand in user and password, other than by its code.
_PLAIN = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
#: The same for what stands in the query.
_PLAIN_QUERY = re.compile(r"(?:[^%\s#]|%[0-9A-Fa-f]{2})*")


class Uri(Struct, frozen=True):
    """A connection string, taken apart. `password` is decoded; None: there is none."""

    engine: str
    scheme: str
    user: str
    password: str | None
    hosts: tuple[str, ...]
    options: dict[str, str]
    wrong: str
    """Why it is not well-formed; empty: it is."""
    encoded: bool
    """Whether user and password are percent-encoded where they have to be."""

    @property
    def encrypts(self) -> bool:
        """Whether a client that is given it encrypts, and looks whose certificate it is."""
        if any(
            self.options.get(name, "false").lower() == "true"
            for name in ("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames")
        ):
            return False
        if self.engine == "redis":
            off = {self.options.get(name, "").lower() for name in ("ssl_cert_reqs", "verifypeer")}
            return self.scheme == "rediss" and "none" not in off
        if self.engine == "postgres":
            # asyncpg's arguments and pgjdbc call it ssl; Prisma verifies with sslaccept
            mode = self.options.get("sslmode", self.options.get("ssl"))
            strict = mode == "require" and self.options.get("sslaccept") == "strict"
            return strict or mode in {"verify-full", "verify-ca", "true"}
        given = self.options.get("tls", self.options.get("ssl"))
        return given == "true" or (given is None and self.scheme == "mongodb+srv")

    @property
    def silent(self) -> bool:
        """Whether it says nothing of TLS."""
        return self.options.keys().isdisjoint({"sslmode", "ssl", "tls"})

    @property
    def local(self) -> bool:
        """Whether it stays on this machine."""
        here = {"localhost", "127.0.0.1", "[::1]", ""}
        return all(host in here or host.startswith("/") for host in self.hosts)


def is_uri(value: str) -> bool:
    """Whether a value is meant as a connection string of one of the engines."""
    match = _URI.fullmatch(value)
    return match is not None and _base(match["scheme"]) in SCHEMES


def _base(scheme: str) -> str:
    """A scheme without the driver that SQLAlchemy's have: `postgresql+asyncpg`."""
    scheme = scheme.lower()
    if scheme in SCHEMES:
        return scheme
    base = _DRIVERS.get(scheme, scheme.partition("+")[0])
    return base if SCHEMES.get(base) == "postgres" else scheme


def read(value: str) -> Uri:
    """A connection string (`is_uri`), however wrong."""
    match = _URI.fullmatch(value)
    if match is None:
        raise ValueError("not a connection string")
    scheme = _base(match["scheme"])
    # with signs that are not encoded, the last @ is the one that people mean
    login, at, place = match["rest"].rpartition("@")
    place, _, query = place.partition("?")
    hosts, _, _ = place.partition("/")
    user, colon, password = login.partition(":")
    options, given = {}, {}
    for pair in query.split("&") if query else ():
        name, _, given[name.lower()] = pair.partition("=")
        options[name.lower()] = unquote(given[name.lower()])
    names = hosts.split(",")
    engine, encoded = SCHEMES[scheme], bool(_PLAIN.fullmatch(user) and _PLAIN.fullmatch(password))
    secret = unquote(password) if at and colon else None
    if engine == "postgres":  # libpq and pgjdbc take what stands before the path in the query, too
        user, secret = user or given.get("user", ""), options.get("password", secret)
        encoded = encoded and bool(_PLAIN_QUERY.fullmatch(given.get("password", "")))
        if not hosts:
            names = options.get("host", "").split(",")
    return Uri(
        engine=engine,
        scheme=match["scheme"].lower(),
        user=unquote(user),
        password=secret,
        hosts=tuple(re.sub(r":\d+$", "", name) for name in names),
        options=options,
        wrong=_wrong(scheme, names, value),
        encoded=encoded,
    )


def _wrong(scheme: str, hosts: list[str], value: str) -> str:
    if re.search(r"\s", value):
        return "has a space or a line break"
    for host in hosts:
        if SCHEMES[scheme] == "postgres" and (not host or host.startswith(("/", "@"))):
            continue  # a socket's folder, or the usual one
        found = _HOST.fullmatch(host)
        if found is None:
            return "has no host" if not host.split(":")[0] else "has an invalid host"
        if found["port"] and not 0 < int(found["port"]) < 65536:
            return "has an invalid port"
        if found["port"] and scheme == "mongodb+srv":
            return "has a port, which +srv does not allow"
    if scheme == "mongodb+srv" and (len(hosts) > 1 or hosts[0].count(".") < 2):
        return "must have one host with a domain for +srv"
    return ""
