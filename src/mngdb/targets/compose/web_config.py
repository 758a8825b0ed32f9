"""The configuration of a page behind the single sign-on: Traefik's, oauth2-proxy's, RedisInsight's.

A request meets Traefik alone. It drops what a stranger might say of himself, asks oauth2-proxy, and
only a 2xx from there opens the page; whatever else comes, an error and a dead oauth2-proxy
included, is what the browser gets. oauth2-proxy knows Keycloak's paths and does not ask for them,
so that it runs, and keeps the page closed, also where Keycloak does not.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import yaml
from msgspec import Struct

from mngdb.model import Access
from mngdb.spec.web import CLIENT_SECRET, COOKIE_SECRET, RedisInsight, Sso

#: What oauth2-proxy says of a person; whatever a browser says under these names is dropped.
_IDENTITY = ("X-Auth-Request-User", "X-Auth-Request-Email")
_FORGEABLE = (
    *_IDENTITY,
    "X-Auth-Request-Groups",
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Access-Token",
    "X-Auth-Request-Redirect",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "Remote-User",
    "Authorization",
)
#: `__Host-`: the browser keeps it for this host alone, and a wrong domain cannot be set. A session
#: that is too large for one cookie is cut into several, with a number each.
_COOKIE = "__Host-mngdb"
_COOKIES = (_COOKIE, *(f"{_COOKIE}_{number}" for number in range(6)))
#: Some read X_Auth_Request_User as X-Auth-Request-User, and an encoded path in two ways.
_ENCODED = ("Backslash", "Hash", "NullCharacter", "Percent", "QuestionMark", "Semicolon", "Slash")
_STRICT: dict[str, Any] = {
    "aliasHeadersStrategy": "delete",
    "encodedCharacters": {f"allowEncoded{name}": False for name in _ENCODED},
}
#: Time between two questions to Keycloak whether the login still holds.
_REFRESH = "5m"
_HEAD = "# Made by mngdb from the stack's file; `mngdb up` writes it anew.\n"


class Places(Struct, frozen=True):
    """Where the parts find each other. The defaults are the containers'."""

    page: str = "http://redisinsight:5540"
    login: str = "http://oauth2-proxy:4180"
    login_listens: str = "0.0.0.0:4180"
    entry: str = ":8443"
    ping: str = "127.0.0.1:8082"
    dynamic: str = "/etc/traefik/dynamic"
    secrets: str = "/run/secrets"
    proxies: tuple[str, ...] = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
    """Networks from which oauth2-proxy takes Traefik's word: Docker's own are private ones."""


def traefik(at: Places) -> str:
    """Traefik's static configuration: one entry, TLS only, no Docker socket, no dashboard."""
    return _yaml(
        {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "INFO", "noColor": True},
            # no access log: the address of a login's end has a code in it
            "entryPoints": {
                "websecure": {"address": at.entry, "http": {"tls": {}, **_STRICT}},
                "ping": {"address": at.ping, "http": _STRICT},
            },
            "ping": {"entryPoint": "ping"},
            "providers": {"file": {"directory": at.dynamic, "watch": True}},
        }
    )


def routes(sso: Sso, insight: RedisInsight, at: Places) -> str:
    """Traefik's dynamic configuration: the page, its login, its certificate; the realm on wish."""
    host = f"Host(`{insight.host}`)"
    return _yaml(
        {
            "http": {
                "routers": {
                    "redisinsight": {
                        "rule": host,
                        "entryPoints": ["websecure"],
                        "middlewares": ["strangers", "secure", "login"],
                        "service": "redisinsight",
                        "tls": {},
                    },
                    "redisinsight-login": {
                        "rule": f"{host} && PathPrefix(`/oauth2/`)",
                        "entryPoints": ["websecure"],
                        "middlewares": ["strangers", "secure"],
                        "service": "login",
                        "tls": {},
                    },
                    **({"realm": _realm(sso)} if sso.route else {}),
                },
                "middlewares": {
                    "strangers": {
                        "headers": {"customRequestHeaders": dict.fromkeys(_FORGEABLE, "")}
                    },
                    "secure": {
                        "headers": {
                            "stsSeconds": 31_536_000,
                            "contentTypeNosniff": True,
                            "referrerPolicy": "same-origin",
                            # RedisInsight shows its plug-ins in frames of its own
                            "customFrameOptionsValue": "SAMEORIGIN",
                        }
                    },
                    "login": {
                        "forwardAuth": {
                            "address": f"{at.login}/",
                            "trustForwardHeader": False,
                            "maxResponseBodySize": 1 << 20,
                            "authRequestHeaders": ["Cookie", "Accept"],
                            "authResponseHeaders": list(_IDENTITY),
                            # a session that was asked for again comes back as new cookies
                            "addAuthCookiesToResponse": list(_COOKIES),
                        }
                    },
                },
                "services": {
                    "redisinsight": _service(at.page),
                    "login": _service(at.login),
                    **({"realm": _service(sso.inside)} if sso.route and sso.inside else {}),
                },
            },
            "tls": {
                "certificates": [
                    {
                        "certFile": f"{at.secrets}/redisinsight.crt",
                        "keyFile": f"{at.secrets}/redisinsight.key",
                    }
                ],
                "options": {"default": {"minVersion": "VersionTLS12", "sniStrict": True}},
            },
        }
    )


def _realm(sso: Sso) -> dict[str, Any]:
    """The realm and what its pages show; no other realm, no administration."""
    folder, _, name = urlsplit(sso.issuer).path.rpartition("/realms/")
    paths = (f"{folder}/realms/{name}/", f"{folder}/resources/")
    rule = " || ".join(f"PathPrefix(`{path}`)" for path in paths)
    return {
        "rule": f"Host(`{sso.host}`) && ({rule})",
        "entryPoints": ["websecure"],
        "service": "realm",
        "tls": {},
    }


def _service(url: str) -> dict[str, Any]:
    return {"loadBalancer": {"servers": [{"url": url}]}}


def oauth2_proxy(sso: Sso, insight: RedisInsight, at: Places) -> str:
    """oauth2-proxy's configuration (7.15.2 or newer; `oauth2-proxy --config FILE --config-test`).

    No path goes without login, so none of the published ways around one by a forged
    `X-Forwarded-Uri` applies.
    """
    inside = sso.issuer
    if sso.inside:
        inside = sso.inside + urlsplit(sso.issuer).path
    oidc = f"{inside}/protocol/openid-connect"
    settings: dict[str, str | bool | list[str]] = {
        "http_address": at.login_listens,
        "reverse_proxy": True,
        "trusted_proxy_ips": list(at.proxies),
        "upstreams": ["static://202"],
        "provider": "keycloak-oidc",
        "oidc_issuer_url": sso.issuer,
        "skip_oidc_discovery": True,
        "login_url": f"{sso.issuer}/protocol/openid-connect/auth",
        "redeem_url": f"{oidc}/token",
        "profile_url": f"{oidc}/userinfo",
        "oidc_jwks_url": f"{oidc}/certs",
        "backend_logout_url": f"{oidc}/logout?id_token_hint={{id_token}}",
        "insecure_oidc_skip_nonce": False,
        "code_challenge_method": "S256",
        "client_id": sso.client,
        "client_secret_file": f"{at.secrets}/{CLIENT_SECRET}",
        "scope": "openid email profile",
        "email_domains": ["*"],
        "allowed_roles": list(sso.roles),
        "redirect_url": f"{insight.url}/oauth2/callback",
        "whitelist_domains": [urlsplit(insight.url).netloc],
        "cookie_name": _COOKIE,
        "cookie_secret_file": f"{at.secrets}/{COOKIE_SECRET}",
        "cookie_samesite": "lax",
        "cookie_expire": f"{int(sso.session.total_seconds())}s",  # Go knows no days
        "cookie_refresh": _REFRESH,
        # what scripts fetch is told to log in, not sent to a page of another site
        "api_routes": ["^/api/", "^/socket\\.io/"],
        "skip_provider_button": True,
        "set_xauthrequest": True,
        "request_logging": False,
        "silence_ping_logging": True,
    }
    if sso.ca is not None:
        settings["provider_ca_files"] = [f"{at.secrets}/sso_ca.crt"]
        settings["use_system_trust_store"] = True
    return _HEAD + "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in settings.items() if value != []
    )


def connections(servers: Mapping[str, Access], ca: str) -> str:
    """RedisInsight's connections, with their passwords: unit to the administrator's access. `ca`
    is the certificate, as PEM text, that encrypted ones are verified by.

    https://redis.io/docs/latest/operate/redisinsight/configuration/: RI_PRE_SETUP_DATABASES_PATH.
    """
    encrypted = {"tls": True, "verifyServerCert": True, "caCert": {"certificate": ca}}
    found = [
        {
            "id": unit,
            "name": unit,
            "host": access.host,
            "port": access.port,
            "username": access.user,
            "password": access.password.reveal() if access.password else None,
            **(encrypted if access.tls else {}),
        }
        for unit, access in servers.items()
    ]
    return json.dumps(found, indent=1) + "\n"


def cookie_key(secret: str) -> str:
    """A key for session cookies from a secret of any length: oauth2-proxy wants 32 bytes, in
    base64."""
    return base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).decode()


def _yaml(document: Mapping[str, Any] | Sequence[Any]) -> str:
    return _HEAD + yaml.safe_dump(document, sort_keys=False, width=100)
