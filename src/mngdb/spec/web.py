"""What the file says of pages in a browser: RedisInsight, and the single sign-on before it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator

from mngdb.spec.base import Model, located
from mngdb.spec.units import Seconds

#: Vault names of the secrets: the OpenID client's, the session cookies', RedisInsight's own.
CLIENT_SECRET, COOKIE_SECRET, INSIGHT_SECRET = "sso_client", "sso_cookie", "redisinsight_key"
SECRETS = (CLIENT_SECRET, COOKIE_SECRET, INSIGHT_SECRET)
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_LOOPBACK = {"localhost", "127.0.0.1"}


def _parts(value: str, schemes: tuple[str, ...]) -> SplitResult:
    """A URL's parts, when it is one of a host alone and perhaps a path. Raises ValueError."""
    wrong = f"{value[:60]!r} is not a valid address; write {schemes[0]}://HOST"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(wrong) from None
    host = parts.hostname or ""
    small = bool(_HOST.fullmatch(host)) and parts.netloc.lower() == host
    if small and parts.netloc != host:
        raise ValueError(f"{value[:60]!r}: write the host name in lower case")
    if parts.scheme not in schemes or not _HOST.fullmatch(host) or port == 0:
        raise ValueError(wrong)
    if parts.netloc != host + (f":{port}" if port else ""):
        raise ValueError(wrong)  # a login, capital letters, an empty port
    if parts.query or parts.fragment or not re.fullmatch(r"[A-Za-z0-9/._~-]*", parts.path):
        raise ValueError(wrong)
    return parts


def _page(value: str) -> str:
    parts = _parts(value, ("https",))
    if parts.path not in {"", "/"}:
        raise ValueError(f"{value[:60]!r}: a page needs its own host, without a path")
    return value.removesuffix("/")


def _issuer(value: str) -> str:
    # a slash at the end would be another issuer than the one that tokens name
    value = value.rstrip("/")
    parts = _parts(value, ("https", "http"))
    if not re.fullmatch(r".*/realms/[A-Za-z0-9._~-]+", parts.path):
        raise ValueError(
            f"{value[:60]!r} is not a Keycloak realm; write https://HOST/realms/NAME "
            "(since Keycloak 17 without /auth)"
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError(f"{value[:60]!r}: passwords are entered there, so it has to use https")
    return value


def _inside(value: str) -> str:
    parts = _parts(value.rstrip("/"), ("http", "https"))
    if parts.path:
        raise ValueError(f"{value[:60]!r}: only a host and a port: http://keycloak:8080")
    return value.rstrip("/")


def _word(what: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9/_.:@-]{1,128}", value):
            raise ValueError(f"{value[:60]!r} is not the name of a {what}")
        return value

    return check


class Sso(Model):
    """Login with a Keycloak realm, for web pages without their own login. The client secret is
    `sso_client` in the vault: mngdb generates it, or set it with `mngdb secret set sso_client`."""

    issuer: Annotated[str, AfterValidator(_issuer)]
    """The realm's URL in browsers and tokens: `https://keycloak.example/realms/NAME`."""
    client: Annotated[str, AfterValidator(_word("client"))] = "mngdb"
    """Client of the realm that mngdb's pages use."""
    inside: Annotated[str, AfterValidator(_inside)] | None = None
    """Address of Keycloak for containers, if they cannot use the issuer's:
    `http://keycloak:8080`."""
    route: bool = False
    """Forward the realm's address to `inside` with the stack's Traefik, for a Keycloak that is not
    reachable from outside. Its administration is not exposed."""
    ca: str | None = None
    """File with the CA of the issuer's certificate, if it is not a public one."""
    roles: list[Annotated[str, AfterValidator(_word("role"))]] = Field(default_factory=lambda: [])
    """Roles of which a user needs at least one: `NAME` of the realm, `CLIENT:NAME` of a client.
    Without roles, every user of the realm can administer Redis in RedisInsight: `plan` warns, and
    `check` fails."""
    session: Seconds = timedelta(hours=8)
    """Lifetime of a login. It is revalidated with Keycloak every five minutes."""

    @model_validator(mode="after")
    def _lasts(self) -> Sso:
        if self.session < timedelta(minutes=10):
            raise located("a login lasts at least 10m", "session")
        if self.route and self.inside is None:
            raise located("'route' needs 'inside': where that Keycloak is", "route")
        if self.route and not self.issuer.startswith("https:"):
            raise located("'route' is for an issuer with https", "route")
        return self

    @property
    def host(self) -> str:
        """The issuer's host name."""
        return urlsplit(self.issuer).hostname or ""


class Certificate(Model):
    """Certificate of a page, with its chain, and its key. PEM files."""

    certificate: str
    """File with the certificate followed by its chain."""
    key: str
    """File with the unencrypted private key."""


class RedisInsight(Model):
    """RedisInsight, a web UI for the stack's Redis, at its own address behind single sign-on. For
    `target: compose`."""

    url: Annotated[str, AfterValidator(_page)]
    """URL of the page: `https://redisinsight.${DEFAULT_URL}`. Its port is published, by default
    443."""
    accept_terms: bool | None = None
    """`true` accepts RedisInsight's licence terms; it does not start otherwise."""
    certificate: Certificate | None = None
    """Certificate of the page. Default: issued by the stack's CA."""

    @model_validator(mode="after")
    def _accepted(self) -> RedisInsight:
        if not self.accept_terms:
            raise located(_TERMS, "accept_terms")
        return self

    @property
    def host(self) -> str:
        """The page's host name."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The page's port."""
        return urlsplit(self.url).port or 443


_TERMS = (
    "RedisInsight runs only where its licence terms are accepted, and only you can accept them: "
    "read them (https://redis.io/legal/), then write 'accept_terms: true'"
)
