"""Who sends a request: service accounts (OAuth 2.0, client credentials) and API keys (digest).

https://www.mongodb.com/docs/atlas/api/api-authentication/, RFC 6749 and RFC 7616.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs
from urllib.request import parse_http_list, parse_keqv_list

from tests.atlas.errors import AtlasError
from tests.atlas.world import Actor, Document, World, new_id

REALM = "MMS Public API"
#: Seconds that a token and a nonce are good for.
_TOKEN, _NONCE = 3600, 300
#: Tokens that the endpoint gives in a minute.
_TOKENS_A_MINUTE = 10
#: How long a secret lives on when there is a new one, and how many there may be.
_OVERLAP, _SECRETS = timedelta(days=7), 2


class Logins:
    """Tokens and nonces that were given out."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tokens: dict[str, tuple[datetime, str]] = {}
        self._nonces: dict[str, datetime] = {}
        self._given: list[datetime] = []
        self.tokens_a_minute = _TOKENS_A_MINUTE

    # --- service accounts

    def add_account(self, organizations: dict[str, set[str]], name: str) -> tuple[str, str]:
        """A new service account: client id and secret."""
        client = f"mdb_sa_id_{new_id()}"
        self._world.accounts[client] = {
            "actor": Actor(client, organizations),
            "name": name,
            "createdAt": self._world.stamp(),
            "secrets": [],
        }
        return client, str(self.add_secret(client, timedelta(days=365))["secret"])

    def add_secret(self, client: str, lives: timedelta) -> Document:
        """A new secret, whose value is told this once; an older one ends within a week."""
        now, account = self._world.now(), self._world.accounts[client]
        if len(account["secrets"]) >= _SECRETS:
            detail = f"A service account has at most {_SECRETS} secrets."
            raise AtlasError(400, "SERVICE_ACCOUNT_SECRET_LIMIT_REACHED", detail)
        for one in account["secrets"]:
            one["until"] = min(one["until"], now + _OVERLAP)
        value = f"mdb_sa_sk_{secrets.token_urlsafe(30)}"
        made = {"id": new_id(), "value": value, "created": now, "until": now + lives, "used": None}
        account["secrets"].append(made)
        return {**self.secret(made), "secret": value}

    def secret(self, one: Document) -> Document:
        """A secret as it is shown later."""
        stamp = self._world.stamp
        found = {
            "id": one["id"],
            "createdAt": stamp(one["created"]),
            "expiresAt": stamp(one["until"]),
        }
        if one["used"]:
            found["lastUsedAt"] = stamp(one["used"])
        return {**found, "maskedSecretValue": f"mdb_sa_sk_...{one['value'][-4:]}"}

    def token(self, authorization: str, body: bytes) -> tuple[int, Document, dict[str, str]]:
        """Answer the token endpoint: status, document, headers."""
        now = self._world.now()
        self._given = [one for one in self._given if now - one < timedelta(minutes=1)]
        if len(self._given) >= self.tokens_a_minute:
            wait = 60 - int((now - self._given[0]).total_seconds())
            limited = AtlasError(429, "RATE_LIMITED", "Too many requests for tokens.")
            return 429, limited.document, {"Retry-After": str(wait)}
        self._given.append(now)
        if parse_qs(body.decode()).get("grant_type") != ["client_credentials"]:
            return 400, {"error": "unsupported_grant_type"}, {}
        client, value = _basic(authorization)
        for one in self._world.accounts.get(client, {}).get("secrets", ()):
            if one["value"] == value and one["until"] > now:
                one["used"] = now
                token = f"eyJ{secrets.token_urlsafe(48)}"
                self._tokens[token] = (now + timedelta(seconds=_TOKEN), client)
                return (
                    200,
                    {"access_token": token, "expires_in": _TOKEN, "token_type": "Bearer"},
                    {},
                )
        said = "Client authentication failed: the client secret is unknown or expired."
        return 401, {"error": "invalid_client", "error_description": said}, {}

    # --- every request

    def actor(self, authorization: str, method: str, target: str) -> Actor:
        """Who sends it. Raises AtlasError 401."""
        kind, _, rest = authorization.partition(" ")
        if kind == "Bearer":
            until, client = self._tokens.get(rest, (self._world.now(), ""))
            if until > self._world.now() and client in self._world.accounts:
                actor: Actor = self._world.accounts[client]["actor"]
                return actor
            raise AtlasError(401, "INVALID_ACCESS_TOKEN", "The access token is invalid or expired.")
        if kind == "Digest":
            return self._digest(parse_keqv_list(parse_http_list(rest)), method, target)
        detail = "You are not authorized for this resource."
        raise AtlasError(401, "UNAUTHORIZED", detail)

    def challenge(self) -> str:
        """What a client that does not say who it is has to answer."""
        nonce = secrets.token_urlsafe(24)
        self._nonces[nonce] = self._world.now() + timedelta(seconds=_NONCE)
        rest = 'domain="", algorithm=MD5, qop="auth", stale=false'
        return f'Digest realm="{REALM}", nonce="{nonce}", {rest}'

    def _digest(self, given: dict[str, str], method: str, target: str) -> Actor:
        private, actor = self._world.keys.get(given.get("username", ""), ("", None))
        fresh = self._nonces.get(given.get("nonce", ""), self._world.now()) > self._world.now()
        if actor and fresh and given.get("uri") == target:
            whole = (given["nonce"], given["nc"], given["cnonce"], given["qop"])
            first = _md5(given["username"], REALM, private)
            if given["response"] == _md5(first, *whole, _md5(method, target)):
                return actor
        raise AtlasError(401, "UNAUTHORIZED", "You are not authorized for this resource.")

    def expire(self) -> None:
        """End every token that was given out."""
        self._tokens.clear()


def _basic(authorization: str) -> tuple[str, str]:
    kind, _, rest = authorization.partition(" ")
    if kind != "Basic":
        return "", ""
    name, _, value = base64.b64decode(rest).decode().partition(":")
    return name, value


def _md5(*parts: Any) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
