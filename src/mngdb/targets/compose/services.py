"""Servers and their exporters as Compose services.

What each line guards against: docs/decisions/containers.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from mngdb.container import CONF, SECRETS, Container, Exporter, secret_name
from mngdb.model import DesiredInstance, Unit
from mngdb.spec.base import EngineName
from mngdb.spec.compose import Compose
from mngdb.spec.engine_info import Image
from mngdb.spec.units import format_size
from mngdb.targets.compose.ownership import ENGINE, ID, INSTANCE, STACK, UNIT
from mngdb.targets.compose.part import Part, SecretFile

_MB = 1 << 20
#: Seconds that a server may take to stop: it writes what it holds in memory.
STOP_TIMEOUT = 120
_EXPORTER_MEMORY = 128 * _MB
_EXPORTER_PROCESSES = 64
#: The label of images that are built here, with the stack's name.
BUILT = "mngdb.built-for"
_DOCKERFILE = """\
# The exporter takes its secret from its environment alone, and its image has no shell that could
# put it there from a file: this is its program beside the server's own shell.
FROM {source} AS exporter
FROM {server}
COPY --from=exporter {program} {program}
"""
_LOG = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
#: Nothing that a server does needs a right beyond its own files.
HARDENED: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "restart": "unless-stopped",
    "logging": _LOG,
}


def image(compose: Compose, engine: EngineName, place: Image, version: str | None) -> str:
    """The image of an instance: the file's, else the official one of the version asked for."""
    given: str | None = getattr(compose.images, engine, None)
    if given is not None:
        return given
    if version is None or f"{place.tag}.".startswith((f"{version}.", f"{version}-")):
        return f"{place.name}:{place.tag}"
    return f"{place.name}:{version}{place.variant}"


def server(
    asked: DesiredInstance,
    unit: Unit,
    container: Container,
    place: Image,
    source: str,
) -> Part:
    """One server: its service, its volume, its secrets. `source` is its image."""
    name, instance = unit.name, asked.instance.name
    secrets = {secret_name(instance, login): asked.secrets[login] for login in container.logins}
    published = asked.instance.published
    volumes = [
        bind(f"./conf/{name}", CONF),
        {"type": "volume", "source": f"{name}-data", "target": place.data},
    ]
    if container.first_at:
        volumes.append(bind(f"./init/{name}", container.first_at))
    service: dict[str, Any] = {
        "image": source,
        "container_name": name,
        "hostname": name,
        "user": f"{place.user}:{place.user}",
        # PostgreSQL takes any process that dies as its child for one of its own that crashed, and
        # what `docker exec` leaves behind becomes the child of process 1
        "init": True,
        **HARDENED,
        "entrypoint": [_escaped(word) for word in container.entrypoint],
        "command": [_escaped(word) for word in unit.argv],
        "environment": dict(container.environment),
        "tmpfs": [
            f"{path}:uid={place.user},gid={place.user},mode=0700" for path in container.tmpfs
        ],
        "mem_limit": format_size(container.memory // _MB * _MB),
        # swap is no memory: what does not fit fails at once, and the container says so
        "memswap_limit": format_size(container.memory // _MB * _MB),
        "shm_size": format_size(container.shared // _MB * _MB),
        "pids_limit": container.processes,
        "stop_grace_period": f"{STOP_TIMEOUT}s",
        "networks": ["db", *(["published"] if published else [])],
        "volumes": volumes,
        "secrets": list(secrets),
        "healthcheck": {
            "test": ["CMD", "/bin/sh", f"{CONF}/health.sh"],
            "interval": f"{container.interval}s",
            # MongoDB's client takes seconds to start, more on a busy machine
            "timeout": f"{2 * container.interval}s",
            "retries": 3,
            "start_period": f"{container.patience}s",
        },
    }
    for key in ("entrypoint", "environment"):
        if not service[key]:
            del service[key]
    if published:
        service["ports"] = [f"{published}:{asked.instance.spec.port}"]
    networks: dict[str, dict[str, Any]] = {
        "db": {"name": f"{asked.stack}-db", "internal": True},
        **({"published": {"name": f"{asked.stack}-published"}} if published else {}),
    }
    return Part(
        services={name: service | {"labels": _labels(unit)}},
        networks=networks,
        volumes={f"{name}-data": {"name": f"{name}-data", "labels": _labels(unit)}},
        secrets={key: SecretFile(secret.reveal(), place.user) for key, secret in secrets.items()},
    )


def bind(source: str, target: str) -> dict[str, Any]:
    """A file or folder of ours as a container sees it: to be read, and there already."""
    how = {"create_host_path": False}
    return {"type": "bind", "source": source, "target": target, "read_only": True, "bind": how}


def exporter_name(unit: Unit) -> str:
    """What the exporter beside a server is called, and the secret that it reads."""
    return f"{unit.name}-exporter"


def exporter(
    asked: DesiredInstance, unit: Unit, found: Exporter, given: str | None, server_image: str
) -> Part:
    """The exporter beside a server; `given` is its image where the file names one. Official ones
    have no shell to ask how they are."""
    name = exporter_name(unit)
    source = given or found.image
    image: dict[str, Any] = {"image": source}
    files = {}
    if found.program:
        text = _DOCKERFILE.format(source=source, server=server_image, program=found.program)
        files[f"build/{name}/Dockerfile"] = text
        tag = hashlib.sha256(text.encode()).hexdigest()[:12]
        image = {
            "image": f"{name}:{tag}",
            "build": {"context": f"./build/{name}", "labels": {BUILT: asked.stack}},
            "pull_policy": "never",
            "entrypoint": [_escaped(word) for word in found.entrypoint],
            "tmpfs": [f"{path}:size=1m" for path in found.unused],
        }
    volumes = [bind("./ca.crt", found.ca)] if found.ca else []
    return Part(
        services={
            name: {
                **image,
                "container_name": name,
                "user": f"{found.user}:{found.user}",
                **HARDENED,
                **({"command": list(found.command)} if found.command else {}),
                "environment": dict(found.environment),
                "mem_limit": format_size(_EXPORTER_MEMORY),
                "memswap_limit": format_size(_EXPORTER_MEMORY),
                "pids_limit": _EXPORTER_PROCESSES,
                # apps are in neither, and do not reach it
                "networks": ["exporters", "metrics"],
                "expose": [str(found.port)],
                **({"volumes": volumes} if volumes else {}),
                "secrets": [{"source": name, "target": f"{SECRETS}/{name}"}],
                "depends_on": {unit.name: {"condition": "service_healthy"}},
            }
        },
        networks={
            name: {"name": f"{asked.stack}-{name}", "internal": True}
            for name in ("exporters", "metrics")
        },
        joins={unit.name: ("exporters",)},
        secrets={name: SecretFile(found.secret.reveal(), found.user)},
        files=files,
    )


def marked(part: Part, stack: str, identity: str) -> Part:
    """The same with everything that is made on the engine labelled as the stack's."""
    own = {ID: identity, STACK: stack}

    def mark(found: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {
            key: one | {"labels": {**one.get("labels", {}), **own}} for key, one in found.items()
        }

    return replace(
        part,
        services=mark(part.services),
        networks=mark(part.networks),
        volumes=mark(part.volumes),
    )


def labelled(services: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The services, each with a digest of what it is: what a container was made from shows."""
    return {
        name: service
        | {"labels": {**service.get("labels", {}), "mngdb.definition": definition(service)}}
        for name, service in services.items()
    }


def definition(service: Mapping[str, Any]) -> str:
    """A digest of everything that a container is made from."""
    text = json.dumps(service, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _labels(unit: Unit) -> dict[str, str]:
    return {UNIT: unit.name, INSTANCE: unit.instance, ENGINE: unit.engine}


def _escaped(word: str) -> str:
    """Compose fills in variables; a dollar of ours is none."""
    return word.replace("$", "$$")
