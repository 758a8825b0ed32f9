"""What an engine says of its official image and of the container that runs it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from mngdb.secret import Secret

#: Where a unit's files are mounted, read-only, and where secrets are.
CONF = "/etc/mngdb"
SECRETS = "/run/secrets"


class Exporter(Struct, frozen=True):
    """A container beside the server that serves its metrics."""

    image: str
    port: int
    user: int
    environment: Mapping[str, str]
    """Names of files, never secrets."""
    secret: Secret
    """The content of the file that it finds as /run/secrets/UNIT-exporter."""
    program: str = ""
    """Its path in the image, where that has no shell and one is needed: an image is built of the
    server's and this program."""
    entrypoint: tuple[str, ...] = ()
    """What starts it then."""
    command: tuple[str, ...] = ()
    """Options of its program."""
    unused: tuple[str, ...] = ()
    """Folders that the server's image declares as volumes."""
    ca: str = ""
    """Where it reads the CA's certificate; empty: it needs none."""


class Container(Struct, frozen=True):
    """How the official image runs one server. `memory` in bytes, times in seconds."""

    memory: int
    """More than the server's own limit, with room for what that does not count."""
    processes: int
    """Processes and threads at the most."""
    health: str
    """A shell script that logs in and asks a question; it fails with the reason."""
    logins: tuple[str, ...] = ("admin",)
    """Whose secrets the container gets, as files."""
    entrypoint: tuple[str, ...] = ()
    """Instead of the image's own, which it calls; none: that one."""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Further files in its folder, beside the unit's."""
    first: Mapping[str, str] = field(default_factory=dict)
    """Files that are read once, at the first start, in `first_at`."""
    first_at: str = ""
    tmpfs: tuple[str, ...] = ("/tmp",)  # noqa: S108 - the container's own, in memory
    shared: int = 64 << 20
    """Bytes of /dev/shm."""
    interval: int = 5
    patience: int = 1800
    """Seconds that a start may take before a failed health check counts: a recovery after a crash
    is one, and what watches over health would end it again and again. The first check that passes
    ends it."""
    rescue: tuple[tuple[str, ...], str] | None = None
    """A command inside that gives the administrator the vault's secret, and its input."""
    exporter: Exporter | None = None
    prompts: tuple[tuple[str, str], ...] = ()
    """What people ask of it, and the command inside; `{secret}` is a file with the administrator's
    password, outside."""


def secret_name(instance: str, login: str) -> str:
    """The name of a login's secret among a container's secrets."""
    return f"{instance}_{'password' if login == 'admin' else login}"


def secret_path(instance: str, login: str) -> str:
    """Where the container finds it."""
    return f"{SECRETS}/{secret_name(instance, login)}"


def read_secret(instance: str, login: str) -> str:
    """Shell words that read it into `secret`, or fail: an empty one would be no login at all."""
    path = secret_path(instance, login)
    return f'secret=$(cat {path}) && [ -n "$secret" ] || {{ echo "{path}: no secret"; exit 1; }}\n'
