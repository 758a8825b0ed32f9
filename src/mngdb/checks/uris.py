"""Reads connection strings as drivers do, and says what is wrong with one without showing it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from msgspec import Struct

from mngdb.spec.engine_info import ENGINE_INFO

#: Scheme to engine.
SCHEMES = {scheme: info.name for info in ENGINE_INFO.values() for scheme in info.schemes}
_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?")
#: What RFC 3986 lets stand in user and password, other than by its code.
_PLAIN = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")


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
            return self.scheme == "rediss" and self.options.get("ssl_cert_reqs") != "none"
        if self.engine == "postgres":
            return self.options.get("sslmode") in {"verify-full", "verify-ca"}
        given = self.options.get("tls", self.options.get("ssl"))
        return given == "true" or (given is None and self.scheme == "mongodb+srv")

    @property
    def local(self) -> bool:
        """Whether it stays on this machine."""
        return all(host in {"localhost", "127.0.0.1", "[::1]", ""} for host in self.hosts)


def is_uri(value: str) -> bool:
    """Whether a value is meant as a connection string of one of the engines."""
    match = _URI.fullmatch(value)
    return match is not None and match["scheme"].lower() in SCHEMES


def read(value: str) -> Uri:
    """A connection string (`is_uri`), however wrong."""
    match = _URI.fullmatch(value)
    if match is None:
        raise ValueError("not a connection string")
    scheme = match["scheme"].lower()
    # with signs that are not encoded, the last @ is the one that people mean
    login, at, place = match["rest"].rpartition("@")
    place, _, query = place.partition("?")
    hosts, _, _ = place.partition("/")
    user, colon, password = login.partition(":")
    options = {}
    for pair in query.split("&") if query else ():
        name, _, given = pair.partition("=")
        options[name.lower()] = unquote(given)
    names = hosts.split(",")
    return Uri(
        engine=SCHEMES[scheme],
        scheme=scheme,
        user=unquote(user),
        password=unquote(password) if at and colon else None,
        hosts=tuple(re.sub(r":\d+$", "", name) for name in names),
        options=options,
        wrong=_wrong(scheme, names, value),
        encoded=bool(_PLAIN.fullmatch(user)) and bool(_PLAIN.fullmatch(password)),
    )


def _wrong(scheme: str, hosts: list[str], value: str) -> str:
    if re.search(r"\s", value):
        return "has a space or a line break"
    for host in hosts:
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
