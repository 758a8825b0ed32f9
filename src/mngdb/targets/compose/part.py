"""A part of the rendered folder. Every kind of service gives one; they are put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field


class SecretFile(Struct, frozen=True):
    """A secret of the rendered folder. `uid` is the account in the container that reads it."""

    content: str
    uid: int

    def __repr__(self) -> str:
        return f"SecretFile(uid={self.uid})"


class Part(Struct, frozen=True):
    """Services and what they need. Names of services, networks, volumes and secrets are Compose's.

    Services are complete but for the labels. A secret has the name of its file in `secrets/`.
    """

    services: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    networks: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    volumes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    secrets: Mapping[str, SecretFile] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Readable files, by their path in the folder."""
    joins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Service to networks that it joins besides its own."""


def together(parts: Iterable[Part]) -> Part:
    """All parts as one; `joins` is done."""
    services: dict[str, dict[str, Any]] = {}
    networks: dict[str, dict[str, Any]] = {}
    volumes: dict[str, dict[str, Any]] = {}
    secrets: dict[str, SecretFile] = {}
    files: dict[str, str] = {}
    joins: dict[str, tuple[str, ...]] = {}
    for part in parts:
        services |= part.services
        networks |= part.networks
        volumes |= part.volumes
        secrets |= part.secrets
        files |= part.files
        for service, more in part.joins.items():
            joins[service] = (*joins.get(service, ()), *more)
    for service, more in joins.items():
        wanted = [*services[service].get("networks", []), *more]
        services[service] = services[service] | {"networks": list(dict.fromkeys(wanted))}
    return Part(services, networks, volumes, secrets, files)
