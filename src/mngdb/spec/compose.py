"""What the file says of the target `compose`: containers of a Docker engine."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field

from mngdb.spec.strict import Model

_IMAGE = r"[a-z0-9][a-z0-9._/:-]{0,199}:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(@sha256:[0-9a-f]{64})?"
_PROJECT = r"[a-z0-9][a-z0-9_-]{0,62}"


def _image(value: str) -> str:
    if not re.fullmatch(_IMAGE, value) or value.partition("@")[0].endswith(":latest"):
        raise ValueError(f"{value[:60]!r} is not a pinned image; write NAME:VERSION, not latest")
    return value


def _project(value: str) -> str:
    if not re.fullmatch(_PROJECT, value):
        raise ValueError(f"{value[:60]!r} is not a project name; use a-z, 0-9, - and _")
    return value


def _published(value: str) -> str:
    value = "127.0.0.1:auto" if value == "auto" else value
    host, _, port = value.rpartition(":")
    try:
        loopback = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        raise ValueError(f"{value[:60]!r} is not ADDRESS:PORT; write 127.0.0.1:5432") from None
    if port != "auto" and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{value[:60]!r} is not ADDRESS:PORT; write 127.0.0.1:5432")
    if not loopback:
        raise ValueError(f"{value[:60]!r} exposes the server to a network; publish on 127.0.0.1")
    return value


Image = Annotated[str, AfterValidator(_image)]


class Images(Model):
    """Images to use instead of the official ones, with a version tag and preferably a digest."""

    postgres: Image | None = None
    """Instead of `postgres:17.11-bookworm`."""
    redis: Image | None = None
    """Instead of `redis:8.4.6-bookworm`."""
    mongodb: Image | None = None
    """Instead of `mongo:8.0.37`."""
    redis_exporter: Image | None = None
    """Instead of `oliver006/redis_exporter`."""
    postgres_exporter: Image | None = None
    """Instead of `prometheuscommunity/postgres-exporter`."""
    mongodb_exporter: Image | None = None
    """Instead of `percona/mongodb_exporter`."""


class Compose(Model):
    """Containers of a Docker engine, as a Compose project in its own folder."""

    folder: str | None = None
    """Folder to render, initially new or empty; `docker compose up -d` works in it without mngdb.
    Default: `rendered` in the stack's state, which `git clean` does not reach. If it changes,
    `mngdb up` recreates the containers and removes the old folder with its passwords."""
    project: Annotated[str, AfterValidator(_project)] | None = None
    """Name of the Compose project. Default: the stack's name. If it changes, `mngdb up` recreates
    the containers."""
    docker_host: str | None = None
    """The Docker engine, in the format of DOCKER_HOST. Default: the one that `docker` uses. The
    folder has to be on that engine's machine."""
    images: Images = Field(default_factory=Images)
    """Images other than the official ones."""
    publish: dict[str, Annotated[str, AfterValidator(_published)]] = Field(default_factory=dict)
    """For each instance, ADDRESS:PORT to publish on the Docker host, loopback only. `auto`: the
    engine's default port of 127.0.0.1, or the next that is free (see `port`). Default: nothing is
    published; mngdb itself needs no port."""
