"""`tls: true` in containers: who gets in, who verifies whom, where keys are, on and off (A5).

One stack for all: rendered and started by Compose alone, then taken over by `up`.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mngdb.targets.compose.docker import Docker
from mngdb.targets.compose.tunnel import Tunnel
from mngdb.targets.process import tls
from tests.compose import looks
from tests.compose.stacks import ComposeCli
from tests.live.scrapes import until
from tests.live.test_tls import shortened

pytestmark = pytest.mark.docker
REDIS, POSTGRES, MONGO = "redis:8.4.6-bookworm", "postgres:17.11-bookworm", "mongo:8.0.37"
FILE = """\
tls: true
postgres: {memory: 64mb}
redis: {memory: 64mb}
mongodb: {memory: 256mb}
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: chatdb}
"""
#: An app's own clients, each with the very URL of `mngdb env`, and what they say when all is well.
#: redis-cli takes no CA from a URL.
CLIENTS = {
    "postgres": (
        POSTGRES,
        'psql -XAtc "select version from pg_stat_ssl where pid = pg_backend_pid()" "$POSTGRES_URL"',
        "TLSv1.3",
    ),
    "redis": (
        REDIS,
        'redis-cli --no-auth-warning -e --cacert "$REDIS_CA" -u "$REDIS_URL" set shop:a 1',
        "OK",
    ),
    "mongodb": (
        MONGO,
        'HOME=/tmp mongosh --quiet "$MONGO_URI" --eval "db.runCommand({ping: 1}).ok"',
        "1",
    ),
}
UNITS = ("pg", "redis", "mongo")


@pytest.fixture(scope="module")
def alone(module_stack: ComposeCli) -> ComposeCli:
    """Started without mngdb."""
    module_stack.write(FILE)
    module_stack.ok("render", "compose")
    module_stack.compose("up", "-d", "--wait")
    return module_stack


@pytest.fixture(scope="module")
def up(alone: ComposeCli) -> ComposeCli:
    """Then taken over."""
    alone.ok("up")
    return alone


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tls.ensure_ca(tmp_path_factory.mktemp("ca"), "other")


def apps_connect(stack: ComposeCli) -> None:
    for name, (image, script, said) in CLIENTS.items():
        assert stack.app(image, script) == (0, f"{said}\n"), name


def test_the_rendered_folder_comes_up_alone_and_apps_connect(alone: ComposeCli) -> None:
    apps_connect(alone)
    # what apps read beside the databases is published by `up` alone
    steps = [step for step in alone.steps() if step["engine"] != "vault"]
    assert {step["action"] for step in steps} <= {"reload"}


def test_all_are_healthy_and_a_second_plan_is_empty(up: ComposeCli) -> None:
    assert up.steps() == []
    for what in UNITS:
        up.health(what)
    assert [one["problem"] for one in up.json("doctor", "shop")["instances"]] == [None] * 3
    assert all(unit["healthy"] for unit in up.json("status")["units"])


def test_variables_ask_for_verification_and_name_the_ca(up: ComposeCli) -> None:
    env = up.env_of("shop")
    ca = "/etc/mngdb/ca.crt"
    assert (env["POSTGRES_SSLMODE"], env["POSTGRES_SSLROOTCERT"]) == ("verify-full", ca)
    assert env["POSTGRES_URL"].endswith("?sslmode=verify-full&sslrootcert=/etc/mngdb/ca.crt")
    assert env["REDIS_URL"].startswith("rediss://")
    assert (env["REDIS_TLS"], env["REDIS_CA"]) == ("true", ca)
    assert env["MONGO_URI"].endswith("&tls=true&tlsCAFile=/etc/mngdb/ca.crt")
    assert (env["MONGO_USE_TLS"], env["MONGO_TLS_CA_FILE"]) == ("true", ca)
    assert up.ok("url", "redis", "shop").strip() == env["REDIS_URL"]


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_of_another_ca_refuses_the_server(
    up: ComposeCli, name: str, other_ca: Path
) -> None:
    image, script, _ = CLIENTS[name]
    code, said = up.app(image, script, ca=other_ca)
    assert code != 0
    assert re.search("certificate verify failed|unable to verify|self-signed", said), said


def test_a_client_without_tls_is_refused(up: ComposeCli) -> None:
    code, said = up.app(POSTGRES, 'psql -c "select 1" "${POSTGRES_URL%%\\?*}?sslmode=disable"')
    assert code != 0
    assert "no encryption" in said
    plain = 'redis-cli -e -h "$REDIS_HOST" --user "$REDIS_USER" -a "$REDIS_PASSWORD" ping'
    code, said = up.app(REDIS, plain)
    assert code != 0
    assert re.search("closed|reset", said), said
    script = 'mongosh --quiet "${MONGO_URI%%&tls=*}&serverSelectionTimeoutMS=5000" --eval 1'
    code, said = up.app(MONGO, f"HOME=/tmp {script}")
    assert code != 0
    assert "connection" in said


def test_a_server_is_known_by_its_name_alone(up: ComposeCli) -> None:
    """By its address, it could be any server of this CA."""
    address = next(iter(up.inspect("pg")["NetworkSettings"]["Networks"].values()))["IPAddress"]
    script = f'psql -c "select 1" "${{POSTGRES_URL/@$POSTGRES_HOST:/@{address}:}}"'
    code, said = up.app(POSTGRES, script)
    assert code != 0
    assert "does not match host name" in said


EXPORTERS = [
    ("redis-exporter", 9121, "redis_up"),
    ("pg-exporter", 9187, "pg_up"),
    ("mongo-exporter", 9216, "mongodb_up"),
]


def values(stack: ComposeCli) -> list[str]:
    """What each exporter says of its server."""
    pages = ((stack.page(exporter, port), metric) for exporter, port, metric in EXPORTERS)
    return [line for page, name in pages for line in re.findall(rf"(?m)^{name}\b.* \d$", page)]


def test_exporters_reach_their_servers(up: ComposeCli) -> None:
    until(lambda: [line.split()[-1] for line in values(up)] == ["1", "1", "1"])


@pytest.mark.parametrize(("exporter", "port", "metric"), EXPORTERS)
def test_an_exporter_with_another_ca_refuses_the_server(
    up: ComposeCli, exporter: str, port: int, metric: str, other_ca: Path
) -> None:
    aside = up.unit("aside")
    volume = ("-v", f"{other_ca}:/etc/mngdb/ca.crt:ro")
    up.compose("run", "-d", "--no-deps", "--name", aside, *volume, up.unit(exporter))
    try:
        until(lambda: re.search(rf"(?m)^{metric}\b.* 0$", up.page("aside", port)))
    finally:
        up.docker.docker("rm", "-f", aside)


def keys(stack: ComposeCli) -> dict[str, str]:
    """Every private key of the stack, by what it is: one line of each, which no other text has."""
    found = {what: stack.rendered / "conf" / stack.unit(what) / "tls.pem" for what in UNITS}
    found["ca"] = stack.state / "tls/ca.key"
    return {
        name: path.read_text().partition("PRIVATE KEY-----\n")[2].splitlines()[0]
        for name, path in found.items()
    }


def test_keys_are_where_they_belong_alone(up: ComposeCli) -> None:
    for what in UNITS:
        path = up.rendered / "conf" / up.unit(what) / "tls.pem"
        found = path.stat()
        assert (found.st_mode & 0o777, found.st_uid) == (0o400, 999)
    assert (up.rendered / "conf").stat().st_mode & 0o777 == 0o700
    assert (up.state / "tls/ca.key").stat().st_mode & 0o777 == 0o600
    # PostgreSQL's copy is in memory, and its own
    said = up.exec("pg", "stat", "-c", "%a %u", "/var/run/postgresql/tls.key")
    assert said.strip() == "600 999"
    ids = up.docker.docker("ps", "-aq", "--filter", f"name=^{up.name}-").split()
    shown = [up.docker.docker("inspect", *ids), up.compose("config"), up.compose("logs")]
    shown += [
        path.read_text()
        for path in up.rendered.rglob("*")
        if path.is_file() and path.parent.name not in {up.unit(what) for what in UNITS}
    ]
    known = keys(up)
    assert len(set(known.values())) == 4
    for name, key in known.items():
        assert not [text for text in shown if key in text], name
    for what in UNITS:  # the CA's key is in no container
        text = up.exec(what, "sh", "-c", "cat /etc/mngdb/* /run/secrets/*")
        assert known[what] in text
        assert known["ca"] not in text


def test_certificates_name_the_service(up: ComposeCli) -> None:
    ca = x509.load_pem_x509_certificate((up.rendered / "ca.crt").read_bytes())
    for what in UNITS:
        path = up.rendered / "conf" / up.unit(what) / "tls.pem"
        found = x509.load_pem_x509_certificate(path.read_bytes())
        found.verify_directly_issued_by(ca)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", up.unit(what)}
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_shells_and_checks_work_from_outside(up: ComposeCli) -> None:
    asked = ("--", "-Atc", "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    assert up.ok("shell", "postgres", "--app", "shop", *asked) == "t\n"
    assert up.ok("shell", "redis", "--", "ping") == "PONG\n"
    assert "1" in up.ok("shell", "mongodb", "--app", "shop", stdin="db.runCommand({ping: 1}).ok\n")
    assert up.ok("shell", "mongodb", "--app", "shop", "db.u.countDocuments()") == "0\n"
    report = up.run_json("check")
    assert report["summary"]["unknown"] == 0
    found = {one["id"]: one["verdict"] for one in report["findings"]}
    judged = (
        *("postgres.encryption", "postgres.tls-version", "postgres.tls-ciphers"),
        *("postgres.certificate", "redis.encryption", "redis.tls-version", "mongodb.encryption"),
        *("mongodb.tls-only", "mongodb.tls-version", "mongodb.tls-certificate"),
        *("mongodb.tls-verified", "secrets.certificates", "secrets.keys"),
        *("stack.logins", "stack.measured"),
    )
    assert {name: found[name] for name in judged} == dict.fromkeys(judged, "pass")


@pytest.mark.parametrize("look", looks.ALL, ids=lambda look: look.__name__)
def test_what_is_wrong_inside_is_found(up: ComposeCli, look: Callable[[ComposeCli], None]) -> None:
    look(up)


def test_the_tunnels_port_lets_nobody_else_in(up: ComposeCli, tmp_path: Path) -> None:
    """Drivers encrypt over TCP alone; a port of loopback is within everybody's reach."""
    docker = Docker(environ={**os.environ, **up.docker.environ})
    tunnel = Tunnel(docker, up.unit("redis"), 6379, tmp_path / "way/redis-6379.sock", tcp=True)
    tunnel.open()
    try:
        port = int((tmp_path / "way/port").read_text())
        # a server that expects TLS hangs up on this; it has said so first
        ask = (
            "import socket, ssl, sys\n"
            f"s = socket.create_connection(('127.0.0.1', {port}), 60)\n"
            "c = ssl._create_unverified_context()\n"
            "print(c.wrap_socket(s).version())\n"
        )
        mine = subprocess.run([sys.executable, "-I", "-c", ask], capture_output=True, text=True)
        assert mine.stdout == "TLSv1.3\n", mine.stderr
        other = ("setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/python3", "-I", "-c")
        theirs = subprocess.run([*other, ask], capture_output=True, text=True)
        assert theirs.returncode != 0
        assert re.search("EOF|reset", theirs.stderr), theirs.stderr
    finally:
        tunnel.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 60)


def why(stack: ComposeCli) -> dict[str, str]:
    """The plan's restarts: object to reason."""
    steps: list[dict[str, Any]] = stack.steps()
    return {step["object"]: step["detail"] for step in steps if step["action"] == "restart"}


def test_a_certificate_that_is_due_or_was_not_read_is_a_step(up: ComposeCli) -> None:
    conf = up.rendered / "conf"
    due, unread = (conf / up.unit(what) / "tls.pem" for what in ("pg", "redis"))
    kept = due.read_text()
    key = "-----BEGIN PRIVATE" + kept.partition("-----BEGIN PRIVATE")[2]
    due.write_text(shortened(due, up.state / "tls") + key)
    os.utime(unread)  # as a command that was killed between the file and the restart leaves it
    assert why(up) == {
        up.unit("pg"): "a new certificate",
        up.unit("redis"): "its certificate was renewed after it started",
    }
    before = up.inspect("mongo")["State"]["StartedAt"]
    up.ok("up")
    assert up.steps() == []
    assert up.inspect("mongo")["State"]["StartedAt"] == before
    (found,) = up.run_json("check", "--only", "postgres.certificate")["findings"]
    assert re.search(r"\b82[45] days", found["evidence"])


def test_tls_is_turned_off_for_a_running_stack(up: ComposeCli) -> None:
    up.redis("set", "shop:kept", "1")
    up.write(FILE.replace("tls: true", "tls: false"))
    up.ok("up")
    assert up.steps() == []
    up.ok("doctor", "shop")
    env = up.env_of("shop")
    assert env["REDIS_URL"].startswith("redis:")
    assert "tls" not in env["MONGO_URI"]


def test_tls_is_turned_on_and_a_new_ca_reaches_everybody(up: ComposeCli) -> None:
    before = (up.rendered / "ca.crt").read_text()
    up.write(FILE)
    shutil.rmtree(up.state / "tls")
    exporters = [name for name, _, _ in EXPORTERS]
    assert set(why(up)) == {up.unit(what) for what in (*UNITS, *exporters)}
    up.ok("up")
    assert up.steps() == []
    assert up.redis("get", "shop:kept") == "1"
    assert (up.rendered / "ca.crt").read_text() != before
    apps_connect(up)
    until(lambda: [line.split()[-1] for line in values(up)] == ["1", "1", "1"])
