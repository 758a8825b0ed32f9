"""The services of a page behind the single sign-on: RedisInsight, oauth2-proxy, Traefik.

Three networks keep them apart. `web` has Traefik, which alone publishes a port, and oauth2-proxy,
which has to reach Keycloak. `pages` has Traefik and RedisInsight, `insight` has RedisInsight and
the Redis servers; both are internal, and no app is in any of them: nobody gets around the login.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from mngdb.engines.protocol import AnyEngine
from mngdb.model import Access, DesiredInstance
from mngdb.secret import Secret
from mngdb.spec.base import EngineName
from mngdb.spec.stack import Stack
from mngdb.spec.web import CLIENT_SECRET, COOKIE_SECRET, INSIGHT_SECRET, RedisInsight
from mngdb.targets.compose import certificates, page_certificate
from mngdb.targets.compose import web_config as config
from mngdb.targets.compose.part import Part, SecretFile
from mngdb.targets.compose.services import HARDENED, bind

#: Service to image. oauth2-proxy's is the one with a shell's tools, for the health check.
IMAGES = {
    "redisinsight": "redis/redisinsight:2.70.1",
    "oauth2-proxy": "quay.io/oauth2-proxy/oauth2-proxy:v7.15.3-alpine",
    "traefik": "traefik:v3.7.15",
}
#: The accounts that the containers run as: RedisInsight's image keeps its data as `node`.
_NODE, _NOBODY = 1000, 65532
_CONNECTIONS = "redisinsight_connections"
_FOLDER = "/etc/traefik"
#: RedisInsight takes its key from the environment alone: it gets there inside the container, so
#: that no listing of containers has it. Without one it would store passwords as they are.
_INSIGHT_START = f"""\
RI_ENCRYPTION_KEY=$$(cat /run/secrets/{INSIGHT_SECRET}) || exit 1
[ -n "$$RI_ENCRYPTION_KEY" ] || {{ echo 'the key is empty' >&2; exit 1; }}
export RI_ENCRYPTION_KEY
exec ./docker-entry.sh node redisinsight/api/dist/src/main
"""
_INSIGHT_HEALTH = (
    "fetch('http://127.0.0.1:5540/api/health/')"
    ".then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"
)


def names(stack: Stack) -> tuple[str, ...]:
    """The services of the page, where the stack has one: the page itself, then the way to it."""
    if not stack.insight or stack.source.sso is None:
        return ()
    return "redisinsight", f"{stack.name}-oauth2-proxy", f"{stack.name}-traefik"


def part(
    stack: Stack,
    asked: Mapping[str, DesiredInstance],
    engine: Callable[[EngineName], AnyEngine],
    secret: Callable[[str], Secret],
) -> tuple[Part, ...]:
    """RedisInsight's part of a stack, where it has one. `secret` gives the vault's. Raises
    UsageError for certificates that are no use."""
    sso, insight = stack.source.sso, stack.source.redisinsight
    if not stack.insight or sso is None or insight is None:
        return ()
    servers = {
        one.unit: replace(engine(one.engine).admin(asked[one.name]), host=one.unit, socket=None)
        for one in stack.insight
        if one.name in asked
    }
    certificate, key = page_certificate.read(stack)
    ca = page_certificate.issuer_ca(stack)
    page, login, way = names(stack)
    at = config.Places(login=f"http://{login}:4180")
    return (
        Part(
            services={
                page: _insight(stack.name, servers),
                login: _login(stack.name, ca is not None),
                way: _traefik(stack.name, insight),
            },
            networks={
                "web": {"name": f"{stack.name}-web"},
                "pages": {"name": f"{stack.name}-pages", "internal": True},
                "insight": {"name": f"{stack.name}-insight", "internal": True},
            },
            volumes={"redisinsight-data": {"name": f"{stack.name}-redisinsight-data"}},
            secrets={
                CLIENT_SECRET: SecretFile(secret(CLIENT_SECRET).reveal(), _NOBODY),
                COOKIE_SECRET: SecretFile(
                    config.cookie_key(secret(COOKIE_SECRET).reveal()), _NOBODY
                ),
                INSIGHT_SECRET: SecretFile(secret(INSIGHT_SECRET).reveal(), _NODE),
                _CONNECTIONS: SecretFile(
                    config.connections(servers, certificates.authority(stack)), _NODE
                ),
                "redisinsight.crt": SecretFile(certificate, _NOBODY),
                "redisinsight.key": SecretFile(key, _NOBODY),
                **({"sso_ca.crt": SecretFile(ca, _NOBODY)} if ca is not None else {}),
            },
            files={
                "web/traefik.yml": config.traefik(at),
                "web/routes/redisinsight.yml": config.routes(sso, insight, at),
                "web/oauth2-proxy.cfg": config.oauth2_proxy(sso, insight, at),
            },
            joins=dict.fromkeys(servers, ("insight",)),
        ),
    )


def _insight(stack: str, servers: Mapping[str, Access]) -> dict[str, Any]:
    return {
        **_base(stack, "redisinsight", _NODE, memory="512m", processes=100),
        "entrypoint": ["/bin/sh", "-c", _INSIGHT_START],
        "environment": {
            "RI_ACCEPT_TERMS_AND_CONDITIONS": "true",
            "RI_PRE_SETUP_DATABASES_PATH": f"/run/secrets/{_CONNECTIONS}",
            # connections are the stack's: no page can be led to another server
            "RI_DATABASE_MANAGEMENT": "false",
            "RI_FILES_LOGGER": "false",
            "RI_STDOUT_LOGGER": "true",
        },
        "networks": ["pages", "insight"],
        "volumes": [{"type": "volume", "source": "redisinsight-data", "target": "/data"}],
        "secrets": [INSIGHT_SECRET, _CONNECTIONS],
        "depends_on": {unit: {"condition": "service_healthy"} for unit in servers},
        "healthcheck": _health("node", "-e", _INSIGHT_HEALTH),
    }


def _login(stack: str, issuer_ca: bool) -> dict[str, Any]:
    return {
        **_base(stack, "oauth2-proxy", _NOBODY, memory="128m", processes=100),
        "command": ["--config=/etc/oauth2-proxy.cfg"],
        "networks": ["web"],
        "volumes": [bind("./web/oauth2-proxy.cfg", "/etc/oauth2-proxy.cfg")],
        "secrets": [CLIENT_SECRET, COOKIE_SECRET, *(["sso_ca.crt"] if issuer_ca else [])],
        "healthcheck": _health("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:4180/ready"),
    }


def _traefik(stack: str, insight: RedisInsight) -> dict[str, Any]:
    return {
        **_base(stack, "traefik", _NOBODY, memory="256m", processes=100),
        "command": [f"--configFile={_FOLDER}/traefik.yml"],
        "networks": ["web", "pages"],
        "ports": [f"{insight.port}:8443"],
        "volumes": [
            bind("./web/traefik.yml", f"{_FOLDER}/traefik.yml"),
            bind("./web/routes", f"{_FOLDER}/dynamic"),
        ],
        "secrets": ["redisinsight.crt", "redisinsight.key"],
        "healthcheck": _health("traefik", "healthcheck", f"--configFile={_FOLDER}/traefik.yml"),
    }


def _base(stack: str, name: str, user: int, *, memory: str, processes: int) -> dict[str, Any]:
    return {
        "image": IMAGES[name],
        "container_name": name if name == "redisinsight" else f"{stack}-{name}",
        "user": f"{user}:{user}",
        **HARDENED,
        "tmpfs": ["/tmp"],  # noqa: S108 - the container's own, in memory
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": processes,
    }


def _health(*command: str) -> dict[str, Any]:
    return {
        "test": ["CMD", *command],
        "interval": "5s",
        "timeout": "10s",
        "retries": 3,
        "start_period": "60s",
    }
