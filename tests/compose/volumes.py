"""What people do to volumes by hand, and rows that have to outlive it."""

from __future__ import annotations

import json

from tests.compose.stacks import ComposeCli

IMAGE = "redis:8.4.6-bookworm"
_PUT = """\
REDISCLI_AUTH=$(cat /run/secrets/redis_password); export REDISCLI_AUTH
printf 'SET shop:%s %s\\nWAITAOF 1 0 30000\\n' "$1" "$1" | redis-cli --user admin
"""


def put(stack: ComposeCli, key: str) -> None:
    """Write a key, and wait until it is on the disk."""
    assert stack.exec("redis", "sh", "-c", _PUT, "-", key).split() == ["OK", "1", "0"]


def keys(stack: ComposeCli) -> set[str]:
    """The keys that the running server has."""
    return {one.removeprefix("shop:") for one in stack.redis("keys", "shop:*").split()}


def volume(stack: ComposeCli, what: str = "redis") -> dict[str, str] | None:
    """The labels of a unit's volume; None: there is none."""
    done = stack.docker.run("volume", "inspect", stack.unit(f"{what}-data"))
    if done.returncode:
        return None
    return json.loads(done.stdout)[0]["Labels"] or {}


def relabel(stack: ComposeCli, what: str = "redis", **labels: str) -> None:
    """Make a unit's volume anew with the same content and these labels: as a restore does."""
    name, other = stack.unit(f"{what}-data"), stack.unit("aside")
    docker = stack.docker.docker

    def copy(source: str, target: str) -> None:
        mounts = ("-v", f"{source}:/a:ro", "-v", f"{target}:/b")
        docker(
            "run", "--rm", *mounts, "--user", "0", "--entrypoint", "cp", IMAGE, "-a", "/a/.", "/b"
        )

    docker("volume", "create", other)
    copy(name, other)
    docker("volume", "rm", name)
    words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    docker("volume", "create", *words, name)
    copy(other, name)
    docker("volume", "rm", other)


def unmark(stack: ComposeCli, what: str = "redis") -> None:
    """Remove mngdb's mark from a unit's volume."""
    mount = ("-v", f"{stack.unit(f'{what}-data')}:/v", "--user", "0", "--entrypoint", "rm")
    stack.docker.docker("run", "--rm", *mount, IMAGE, "-f", "/v/.mngdb-id")
