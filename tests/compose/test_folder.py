"""The rendered folder starts with `docker compose up -d` alone, and mngdb goes on from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.compose.conftest import EXAMPLE
from tests.compose.stacks import ComposeCli
from tests.conftest import Cli

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def started(module_stack: ComposeCli) -> ComposeCli:
    """The example, rendered, then started by Compose without mngdb."""
    text = EXAMPLE.replace("name: mng ", "# ").replace("target: local ", "# ")
    module_stack.write(text)
    # somebody's own project beside it
    (module_stack.folder / "compose.yaml").write_text("services: {own: {image: own}}\n")
    module_stack.env |= {"COMPOSE_FILE": "compose.yaml", "COMPOSE_PROJECT_NAME": "own"}
    module_stack.ok("render", "compose")
    module_stack.compose("up", "-d", "--wait")
    return module_stack


def test_everything_is_healthy_without_mngdb(started: ComposeCli) -> None:
    rows = [json.loads(line) for line in started.compose("ps", "--format", "json").splitlines()]
    assert {row["Service"] for row in rows} == {
        started.unit(what) for what in ("pg", "redis", "pg-exporter", "redis-exporter")
    }
    assert all(row["State"] == "running" for row in rows)
    assert started.inspect("pg")["State"]["Health"]["Status"] == "healthy"
    assert started.inspect("redis")["State"]["Health"]["Status"] == "healthy"


def test_the_first_documents_commands_work(started: ComposeCli) -> None:
    password = started.secret("redis_admin")
    assert "PONG" in started.exec("redis", "redis-cli", "-a", password, "ping")
    listed = started.exec("pg", "psql", "-U", "postgres", "-c", "\\l")
    assert " grafana " in listed
    assert " keycloak " in listed


def test_apps_are_there_with_their_rights(started: ComposeCli) -> None:
    query = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datdba > 10 ORDER BY 1"
    assert started.sql(query) == "grafana|grafana\nkeycloak|keycloak"
    assert started.redis("acl", "users").split() == [
        "admin", "default", "grafana", "keycloak", "monitor"
    ]  # fmt: skip


def test_mngdb_finds_nothing_to_change_in_the_databases(started: ComposeCli) -> None:
    """What the first start made is what `up` would make: only that nobody has noted yet which
    files the containers read."""
    # what apps read beside the databases is published by `up` alone
    steps = [step for step in started.steps() if step["engine"] != "vault"]
    assert {step["action"] for step in steps} <= {"reload", "restart"}
    assert not [step for step in steps if step["restart"]]
    started.ok("up")
    assert started.steps() == []
    units = started.json("status")["units"]
    assert [unit["name"] for unit in units if unit["healthy"]] == [
        started.unit("pg"), started.unit("redis")
    ]  # fmt: skip


def test_later_additions_converge_without_a_restart_or_a_port(started: ComposeCli) -> None:
    before = started.inspect("pg")["State"]["StartedAt"]
    file = started.folder / "mngdb.yaml"
    file.write_text(file.read_text() + "  shop: {postgres: shop, redis: 'shop:*'}\n")
    started.ok("up")
    assert started.steps() == []
    assert started.sql("SELECT 1", "shop") == "1"
    assert started.inspect("pg")["State"]["StartedAt"] == before
    assert not any(started.inspect("pg")["NetworkSettings"]["Ports"].values())


def test_the_folder_says_what_it_is(started: ComposeCli) -> None:
    document = yaml.safe_load((started.rendered / "docker-compose.yml").read_text())
    assert document["secrets"]["redis_password"] == {"file": "./secrets/redis_password"}
    for name, service in document["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "ports" not in service
        assert service["logging"]["options"]["max-size"] == "10m"
        assert int(service["pids_limit"]) > 0
        assert not service["user"].startswith("0")
    redis = document["services"][started.unit("redis")]
    assert redis["image"] == "redis:8.4.6-bookworm"
    assert redis["mem_limit"] == "768mb"  # maxmemory is 512mb
    said = (started.rendered / "README.md").read_text()
    assert said.startswith(f"# {started.name}\n")
    unit = started.unit("redis")
    asked = f'docker exec -it {unit} redis-cli -a "$(cat secrets/redis_password)" ping'
    assert f"| `{asked}` |" in said
    guarded = "env PGOPTIONS='-c search_path=' psql -U postgres"
    assert f"| `docker exec -it {started.unit('pg')} {guarded}` |" in said
    assert f"`{unit}-exporter:9121`" in said
    assert "mongosh" not in said
    assert (started.rendered / ".gitignore").read_text().splitlines()[-1] == "*"


def test_secrets_are_their_containers_alone(started: ComposeCli) -> None:
    for path in (started.rendered / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o400, path
    assert (started.rendered / "secrets").stat().st_mode & 0o777 == 0o700
    assert (started.rendered / "secrets/redis_password").stat().st_uid == 999


def plain(folder: Path) -> list[str]:
    """Every secret of a vault."""
    return [path.read_text() for path in (Cli(folder).state / "secrets").glob("*_*")]


def test_no_listing_shows_a_secret(started: ComposeCli) -> None:
    own = ("-q", "--filter", f"label=mngdb.stack={started.name}")  # others come and go meanwhile
    containers = started.docker.docker("ps", "-a", *own).split()
    volumes = started.docker.docker("volume", "ls", *own).split()
    assert len(containers) > 2
    assert len(volumes) > 1
    shown = [
        started.docker.docker("inspect", *containers, *volumes),
        started.compose("config"),
        started.docker.docker("history", "--no-trunc", "postgres:17.11-bookworm"),
        started.compose("logs"),
        (started.rendered / "docker-compose.yml").read_text(),
        (started.rendered / "README.md").read_text(),
    ]
    for unit, server in (("pg", "postgres"), ("redis", "redis-server")):
        shown.append(started.docker.docker("top", started.unit(unit), "-o", "pid,args"))
        shown.append(started.environments(unit))
        assert f"\n{server}\n" in shown[-1]
    started.docker.docker("restart", started.unit("pg"))  # the image's second start is another one
    started.health("pg")
    shown.append(started.environments("pg"))
    assert "\npostgres\n" in shown[-1]
    found = plain(started.folder)
    assert len(found) > 6
    for secret in found:
        assert not [text for text in shown if secret in text]


def test_files_of_others_are_not_written_over(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("target: compose\nredis: {}\n")
    given = cli.folder / "given"
    given.mkdir(mode=0o755)
    (given / "README.md").write_text("mine")

    def refused(*words: str) -> str:
        done = cli.run(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert [path.name for path in given.iterdir()] == ["README.md"]
        assert (given / "README.md").read_text() == "mine"
        assert given.stat().st_mode & 0o777 == 0o755
        assert not (cli.state).exists()
        return done.stderr

    said = f"{given} holds files that mngdb did not write: README.md"
    assert said in refused("render", "compose", "--output", "given")
    cli.write("target: {compose: {folder: given}}\nredis: {}\n")
    assert said in refused("render", "compose")
    # one that a killed command left behind is ours, and so is one that is empty
    for left in ("secrets", "conf"):
        (cli.folder / "left" / left).mkdir(parents=True)
    assert cli.ok("render", "compose", "--output", "left").endswith("left\n")
    assert cli.ok("render", "compose", "--output", "left").endswith("left\n")
    another = Cli(tmp_path / "another")
    another.folder.mkdir()
    another.write("name: other\ntarget: compose\nredis: {}\n")
    done = another.run("render", "compose", "--output", str(cli.folder / "left"))
    assert done.returncode == 2
    assert "left is the folder of the stack mng" in done.stderr
