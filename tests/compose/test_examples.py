"""The first document's example on a Docker engine, under its own names, with its own commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest

from tests.compose.stacks import ComposeCli
from tests.conftest import ROOT
from tests.docker import Engine

pytestmark = pytest.mark.docker
BOTH = ("-f", "mngdb.yaml", "-f", "elsewhere.yaml")


@pytest.fixture(scope="module")
def example(machine: Engine, tmp_path_factory: pytest.TempPathFactory) -> ComposeCli:
    found = ComposeCli(tmp_path_factory.mktemp("mng-db"), machine, "mng")
    shutil.copy(ROOT / "examples/mng-db/mngdb.yaml", found.folder)
    return found


def terminal(example: ComposeCli, command: str, cwd: Path) -> str:
    """What a person sees who types `command` into a terminal."""
    child = pexpect.spawn(
        "bash",
        ["-c", command],
        env={**os.environ, **example.docker.environ, "TERM": "dumb", "PAGER": "cat"},
        cwd=str(cwd),
        timeout=300,
        encoding="utf-8",
        dimensions=(100, 200),  # psql pages what does not fit
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return str(child.before)


def healthy(example: ComposeCli, folder: Path) -> dict[str, str]:
    """Service to health, as `docker compose ps` tells it."""
    said = example.docker.docker("compose", "ps", "--all", "--format", "json", cwd=folder)
    rows = [json.loads(line) for line in said.splitlines()]
    assert {row["State"] for row in rows} == {"running"}
    return {row["Service"]: row["Health"] for row in rows}


def documents_commands(example: ComposeCli, folder: Path) -> None:
    """Chapter 6.2 of the first document, in a terminal."""
    ping = 'REDIS_PASSWORD="$(cat secrets/redis_password)"; '
    ping += 'docker exec -it mng-redis redis-cli -a "$REDIS_PASSWORD" ping'
    assert "PONG" in terminal(example, ping, folder)
    listed = terminal(example, "docker exec -it mng-pg psql -U postgres -c '\\l'", folder)
    assert " grafana " in listed
    assert " keycloak " in listed


def test_up_brings_the_example_up_with_the_documents_names(example: ComposeCli) -> None:
    example.ok("--target", "compose", "up")
    assert healthy(example, example.rendered) == {
        "mng-pg": "healthy",
        "mng-redis": "healthy",
        "mng-pg-exporter": "",
        "mng-redis-exporter": "",
    }
    documents_commands(example, example.rendered)
    volumes = example.docker.docker("volume", "ls", "-q").split()
    assert sorted(volumes) == ["mng-pg-data", "mng-redis-data"]
    assert example.json("--target", "compose", "plan")["steps"] == []
    # without the option the file says local: what lives elsewhere is found and goes too
    (example.folder / "mngdb.yaml").write_text(
        (example.folder / "mngdb.yaml").read_text() + "agent: false\n"
    )
    left = [step["object"] for step in example.json("plan")["steps"] if step["action"] == "stop"]
    assert sorted(left) == ["mng-pg", "mng-pg-exporter", "mng-redis", "mng-redis-exporter"]
    example.ok("destroy", "--yes", "mng")
    assert example.docker.docker("ps", "-aq") == ""
    assert example.docker.docker("volume", "ls", "-q") == ""
    assert not example.rendered.exists()


def test_the_folder_goes_to_a_machine_without_mngdb(example: ComposeCli, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/mng-db/mngdb.yaml", example.folder)
    output = tmp_path / "rendered"
    said = example.ok("render", "compose", "--output", str(output))
    assert said == f"wrote {output}\n"
    there = tmp_path / "there"
    subprocess.run(["cp", "-a", str(output), str(there)], check=True)
    shutil.rmtree(output)
    example.docker.docker("compose", "up", "-d", "--wait", cwd=there)
    assert set(healthy(example, there)) == {
        "mng-pg", "mng-redis", "mng-pg-exporter", "mng-redis-exporter"
    }  # fmt: skip
    documents_commands(example, there)
    # later somebody has mngdb there, and the file that says where the folder is
    (example.folder / "elsewhere.yaml").write_text(f"target: {{compose: {{folder: {there}}}}}\n")
    text = (example.folder / "mngdb.yaml").read_text().replace("target: local ", "target: # ")
    (example.folder / "mngdb.yaml").write_text(text + "  third:\n    postgres: third\n")
    example.ok(*BOTH, "up")
    assert example.sql("SELECT 1", "third") == "1"
    assert example.json(*BOTH, "plan")["steps"] == []
    example.ok(*BOTH, "destroy", "--yes", "mng")
    assert example.docker.docker("volume", "ls", "-q") == ""


def test_an_ordinary_user_who_may_use_docker_gets_the_same(machine: Engine, tmp_path: Path) -> None:
    """Files that only root could give to a container's account are readable by all, below folders
    that only their owner can enter."""
    machine.socket.chmod(0o666)
    machine.folder.chmod(0o755)
    folder = tmp_path / "home"
    folder.mkdir()
    for path in (folder, *list(folder.parents)[:3]):
        path.chmod(0o755)
    os.chown(folder, 65534, 65534)
    stack = ComposeCli(folder, machine, "plain")
    stack.write(
        "agent: false\nredis: {memory: 64mb}\npostgres: {memory: 64mb}\n"
        "mongodb: {memory: 256mb}\napps: {shop: {redis: 'shop:*', postgres: shop}}\n"
    )
    stack.env["HOME"] = str(folder)
    stack.env["MNGDB_STATE_HOME"] = str(folder / "state")  # the tests' own is root's
    # the interpreter may lie where only root can go: that right alone the user keeps
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    read = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")

    def run(*words: str) -> str:
        done = subprocess.run(
            [*user, *read, *stack.argv(*words)],
            cwd=folder,
            env=stack.environ(),
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    run("up")
    assert "nothing to change" in run("up")
    for unit in ("redis", "pg", "mongo"):
        stack.health(unit)
    assert stack.rendered.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_uid for path in stack.rendered.rglob("*")} == {65534}
    run("destroy", "--yes", "plain")
