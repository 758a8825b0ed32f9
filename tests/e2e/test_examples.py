"""The examples come up as they stand; only their ports are others here, from a second file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pymongo
import pytest
import redis

from tests.checks.judge import BROUGHT
from tests.conftest import ROOT, Cli, free_port
from tests.secrets_server import SecretsServer, in_aws

pytestmark = pytest.mark.live
BOTH = ("-f", "mngdb.yaml", "-f", "ports.yaml")


def start(cli: Cli, example: str, name: str, ports: str) -> Iterator[Cli]:
    shutil.copy(ROOT / "examples" / example / "mngdb.yaml", cli.folder)
    ports += "agent: {ports: {postgres: PORT4, redis: PORT5, mongodb: PORT6, mngdb: PORT7}}\n"
    # on another disk than the data, as `check` asks
    store = Path(tempfile.mkdtemp(dir="/dev/shm"))
    ports += f"backup: {{store: {store}, at: '00:00'}}\n"
    for number in range(1, 8):
        ports = ports.replace(f"PORT{number}", str(cli.port(number)))
    (cli.folder / "ports.yaml").write_text(ports)
    try:
        cli.ok(*BOTH, "up")
        yield cli
    finally:
        cli.ok(*BOTH, "destroy", "--yes", name)
        shutil.rmtree(store)


@pytest.fixture(scope="module")
def mng(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    cli = Cli(tmp_path_factory.mktemp("mng"))
    yield from start(cli, "mng-db", "mng", "postgres: {port: PORT1}\nredis: {port: PORT2}\n")


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    cli = Cli(tmp_path_factory.mktemp("chat"))
    yield from start(cli, "chat-app", "chat", "mongodb: {port: PORT1}\nredis: {port: PORT2}\n")


def healthy(cli: Cli) -> dict[str, str]:
    units = cli.json(*BOTH, "status")["units"]
    assert all(unit["healthy"] for unit in units)
    return {unit["name"]: unit["version"].split(".")[0] for unit in units}


def test_the_management_database_is_postgresql_17_and_redis_8(mng: Cli) -> None:
    found = healthy(mng)
    assert set(found) == {"mng-pg", "mng-redis", "mng-agent"}
    assert (found["mng-pg"], found["mng-redis"]) == ("17", "8")
    assert mng.run(*BOTH, "plan", "--exit-code").returncode == 0


def test_grafana_and_keycloak_own_a_database_each_and_see_no_other(mng: Cli) -> None:
    for app, other in (("grafana", "keycloak"), ("keycloak", "grafana")):
        env = mng.json(*BOTH, "env", app)
        with psycopg.connect(env["POSTGRES_URL"]) as connection:
            connection.execute("create table t (a int)")
            found = connection.execute("select current_database(), current_user").fetchone()
            assert found == (app, app)
            connection.rollback()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(env["POSTGRES_URL"].rpartition("/")[0] + "/" + other)
        with redis.Redis.from_url(env["REDIS_URL"], socket_timeout=60) as client:
            assert client.set(f"{app}:session", "1", ex=60)
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.get(f"{other}:session")


def test_the_chat_stack_is_healthy_and_as_its_file_says(chat: Cli) -> None:
    assert set(healthy(chat)) == {"chat-mongo", "chat-redis", "chat-agent"}
    assert chat.run(*BOTH, "plan", "--exit-code").returncode == 0
    assert chat.run(*BOTH, "doctor", "chat-app").returncode == 0


def test_the_guides_seven_indexes_are_there(chat: Cli) -> None:
    env = chat.json(*BOTH, "env", "chat-app")
    found = {}
    with pymongo.MongoClient[Any](env["MONGO_URI"]) as client:
        database = client["chatdb"]
        for collection in database.list_collection_names():
            for name, index in database[collection].index_information().items():
                if name != "_id_":
                    options = (index.get("unique", False), index.get("expireAfterSeconds"))
                    found[collection, tuple(index["key"])] = options
    assert found == {
        ("users", (("username", 1),)): (True, None),
        ("messages", (("roomId", 1), ("createdAt", -1))): (False, None),
        ("messages", (("senderId", 1), ("createdAt", -1))): (False, None),
        ("rooms", (("participants", 1),)): (False, None),
        ("refreshtokens", (("userId", 1), ("isRevoked", 1))): (False, None),
        ("refreshtokens", (("jti", 1),)): (True, None),
        ("refreshtokens", (("expiresAt", 1),)): (False, 0),
    }


@pytest.mark.parametrize("example", ["mng", "chat"])
def test_every_box_is_ticked_once_a_drill_has_passed_and_a_kit_was_made(
    example: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    stack: Cli = request.getfixturevalue(example)
    stack.ok(*BOTH, "backup")
    kit = str(tmp_path / "kit.age")
    stack.ok(*BOTH, "backup", "kit", "--output", kit, stdin="five random words of mine")
    drills = stack.json(*BOTH, "drill")["drills"]
    assert [one["verdict"] for one in drills] == ["pass", "pass"], drills
    report = json.loads(stack.run(*BOTH, "--json", "check").stdout)
    assert report["summary"]["unknown"] == 0
    failed = {one["id"] for one in report["findings"] if one["verdict"] == "fail"}
    # whether a disk is full or memory short is this machine's own business
    assert {name for name in failed - BROUGHT if not name.startswith("host.")} == set()


def test_every_example_has_a_readme_that_names_its_commands() -> None:
    folders = [path.parent for path in Path(ROOT, "examples").glob("*/mngdb.yaml")]
    assert len(folders) >= 2
    for folder in folders:
        assert "mngdb up" in (folder / "README.md").read_text()


@contextmanager
def service(chat: Cli, environ: dict[str, str]) -> Iterator[str]:
    """The URL of the example's app, which runs in the block; empty, where it did not start."""
    shutil.copy(ROOT / "examples" / "chat-app" / "app.py", chat.folder)
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    env = {**chat.environ(), **environ}
    with (chat.folder / "app.log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=chat.folder, env=env, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            time.sleep(0.1)
        yield url if process.poll() is None else ""
    finally:
        process.terminate()
        process.wait()


def test_the_chat_apps_service_takes_the_guides_variables_for_aws(
    chat: Cli, tmp_path: Path
) -> None:
    with SecretsServer(tmp_path).running() as server:
        in_aws(server).publish("chat-app", chat.json(*BOTH, "env", "chat-app"))
        guide = {
            **server.variables,
            "AWS_ENDPOINT_URL": server.url,
            "USE_AWS_SECRETS": "true",
            "AWS_REGION": "us-east-1",
            "AWS_SECRET_NAME": "chat-app/database/chat-app",
            "AWS_SECRETS_FAIL_OPEN": "false",
        }
        with service(chat, guide) as url:
            assert "token" in httpx.post(f"{url}/join", json={"username": "choi"}).json()
        # a failure stops the start
        with service(chat, guide | {"AWS_SECRET_NAME": "chat-app/gone"}) as url:
            assert url == ""
    assert "the AWS secret chat-app/gone cannot be read" in (chat.folder / "app.log").read_text()


def test_the_chat_apps_service_survives_a_rotation_of_everything_under_load(chat: Cli) -> None:
    before = chat.json(*BOTH, "env", "chat-app")
    where = chat.json(*BOTH, "env", "chat-app", "--for", "client")
    with service(chat, where) as url, httpx.Client(base_url=url, timeout=60) as http:
        token = http.post("/join", json={"username": "kim"}).json()["token"]
        kim = {"Authorization": f"Bearer {token}"}
        assert http.get("/rooms/seoul/messages").status_code in {401, 403}
        answers: list[tuple[int, object]] = []
        over = threading.Event()

        def talk(name: str) -> None:
            """Somebody who joins, says something and reads it, again and again."""
            while not over.is_set():
                joined = http.post("/join", json={"username": name}).json()
                own = {"Authorization": f"Bearer {joined['token']}"}
                done = http.post(f"/rooms/{name}/messages", json={"text": "x"}, headers=own)
                found = http.get(f"/rooms/{name}/messages", headers=own)
                answers.extend((one.status_code, one.text[:200]) for one in (done, found))

        threads = [threading.Thread(target=talk, args=(name,)) for name in ("lee", "park")]
        for thread in threads:
            thread.start()
        try:
            assert "new key" in chat.ok(*BOTH, "secrets", "rotate", "jwt")
            chat.ok(*BOTH, "rotate", "--all", "--grace", "30s")
        finally:
            over.set()
            for thread in threads:
                thread.join()
        log = (chat.folder / "app.log").read_text()
        assert {code for code, _ in answers} == {200}, log[-4000:]
        assert len(answers) > 20
        # with a token of the key of before
        assert http.get("/rooms/lee/messages", headers=kim).status_code == 200
    after = chat.json(*BOTH, "env", "chat-app")
    secret = [name for name in after if name.endswith(("PASSWORD", "CURRENT"))]
    assert len(secret) == 3
    assert not any(before[name] == after[name] for name in secret)
    assert not any(found[name] in log for found in (before, after) for name in secret)
    assert chat.run(*BOTH, "plan", "--exit-code").returncode == 0
