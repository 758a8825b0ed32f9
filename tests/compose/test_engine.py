"""The Docker engine that the other tests here stand on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.docker import Engine

pytestmark = pytest.mark.docker


def test_the_images_run_as_the_official_ones_do(docker: Engine) -> None:
    for image, command, said in (
        ("redis:8.4.6-bookworm", "redis-server", "v=8."),
        ("postgres:17.11-bookworm", "postgres", "PostgreSQL) 17."),
        ("mongo:8.0.37", "mongod", "db version"),
    ):
        safe = ("--read-only", "--cap-drop", "ALL", "--user", "999:999", "--network", "none")
        run = ("run", "--rm", *safe, "--entrypoint", command, image, "--version")
        assert said in docker.docker(*run)


def test_it_has_a_network_of_its_own(docker: Engine) -> None:
    docker.docker("network", "create", "apart")
    try:
        bridge = f"br-{docker.docker('network', 'ls', '-qf', 'name=apart').strip()}"
        assert not Path(f"/sys/class/net/{bridge}").exists()
        there = subprocess.run(
            docker.inside("cat", "/proc/net/dev"), check=True, text=True, capture_output=True
        )
        assert bridge in there.stdout
    finally:
        docker.docker("network", "rm", "apart")


def test_compose_is_version_2(docker: Engine) -> None:
    assert docker.docker("compose", "version", "--short").startswith("2.")
