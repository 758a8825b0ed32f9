"""What the file says of the target compose, and what follows from it, without an engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import Cli
from tests.unit.spec import stack

REDIS = "redis: {memory: 100mb}\n"


def rendered(cli: Cli, text: str) -> dict[str, dict[str, object]]:
    """The services of docker-compose.yml. No engine is asked."""
    (cli.folder / "mngdb.yaml").write_text(text)
    cli.env["DOCKER_HOST"] = "unix:///nonexistent"
    cli.ok("--target", "compose", "render", "compose")
    document = yaml.safe_load((cli.state / "rendered/docker-compose.yml").read_text())
    found: dict[str, dict[str, object]] = document["services"]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_a_first_start_waits_for_no_archive(folder: Cli) -> None:
    """Commits of `strict` do, and nothing follows the log of a server that is being made."""
    text = "agent: true\nbackup: {}\npostgres: {recovery_point: strict}\n"
    rendered(
        folder, f"{text}apps: {{shop: {{postgres: {{database: shop, extensions: [pg_trgm]}}}}}}"
    )
    script = (folder.state / "rendered/init/mng-pg/init_users_dbs.sql").read_text()
    sessions = script.split("\n\\connect ")
    assert len(sessions) > 1
    for one in sessions:
        assert 0 < one.find("SET synchronous_commit = local;") < one.find("BEGIN;")


@pytest.mark.parametrize(
    ("version", "image"),
    [
        ("", "redis:8.4.6-bookworm"),
        ("8", "redis:8.4.6-bookworm"),
        ("8.4", "redis:8.4.6-bookworm"),
        ("'8.2'", "redis:8.2-bookworm"),
        ("7", "redis:7-bookworm"),
    ],
)
def test_the_version_chooses_the_image(folder: Cli, version: str, image: str) -> None:
    wish = f", version: {version}" if version else ""
    services = rendered(folder, f"redis: {{memory: 100mb{wish}}}\n")
    assert services["mng-redis"]["image"] == image


def test_another_image_may_be_named_with_its_digest(folder: Cli) -> None:
    digest = "sha256:" + "0" * 64
    image = f"registry.example:5000/redis:8.4.6-bookworm@{digest}"
    text = f"target:\n  compose:\n    images: {{redis: '{image}'}}\n{REDIS}"
    assert rendered(folder, text)["mng-redis"]["image"] == image


@pytest.mark.parametrize("image", ["redis", "redis:latest", "REDIS:8", "redis:8@sha256:1"])
def test_an_image_without_a_version_is_refused(folder: Cli, image: str) -> None:
    text = f"target:\n  compose:\n    images: {{redis: '{image}'}}\n{REDIS}"
    (folder.folder / "mngdb.yaml").write_text(text)
    done = folder.run("plan")
    assert done.returncode == 2
    assert "mngdb.yaml:3:21: target.compose.images.redis: " in done.stderr
    assert "not a pinned image" in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("redis: {bind: [127.0.0.1]}\n", "see 'publish' of the target"),
        ("redis: {target: {compose: {folder: x}}}\n", "set once, for the whole stack"),
    ],
)
def test_what_containers_cannot_do_is_said_before_anything_happens(
    folder: Cli, more: str, said: str
) -> None:
    text = "target: compose\n" + more
    (folder.folder / "mngdb.yaml").write_text(text)
    done = folder.run("render", "compose")
    assert done.returncode == 2
    assert said in done.stderr
    assert not folder.state.exists()


def test_the_limits_leave_room_beside_what_the_server_takes(folder: Cli) -> None:
    text = "redis: {memory: 1gb}\npostgres: {memory: 1gb}\nmongodb: {memory: 1gb}\n"
    services = rendered(folder, text)
    limits = {name: services[f"mng-{name}"]["mem_limit"] for name in ("redis", "pg", "mongo")}
    assert limits == {"redis": "1536mb", "pg": "4816mb", "mongo": "2560mb"}
    assert all(services[f"mng-{name}"]["memswap_limit"] == found for name, found in limits.items())


def test_the_file_of_a_local_stack_is_rendered_as_it_stands(folder: Cli) -> None:
    services = rendered(folder, "target: {local: {account: db}}\n" + REDIS)
    assert set(services) == {"mng-redis", "mng-redis-exporter"}
    assert set(rendered(folder, "agent: false\n" + REDIS)) == {"mng-redis"}


def test_instances_of_containers_share_no_ports() -> None:
    found = stack("target: compose\nredis: {}\ninstances: {queue: {engine: redis}}\n")
    assert {instance.spec.port for instance in found.instances.values()} == {6379}


def test_a_rendered_folder_has_a_port_that_is_remembered(folder: Cli) -> None:
    services = rendered(
        folder, "target: {compose: {publish: {redis: auto}}}\nredis: {port: auto}\nagent: false\n"
    )
    port = json.loads((folder.state / "ports.json").read_text())["publish.redis"]
    assert services["mng-redis"]["ports"] == [f"127.0.0.1:{port}:6379"]
