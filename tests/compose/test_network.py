"""Who reaches what: apps their databases, Prometheus the exporters, everybody else nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mngdb.alerts import expr, grafana
from mngdb.alerts.catalogue import RULES
from mngdb.alerts.rules import active
from mngdb.spec.alerts import Alerts
from tests.checks.judge import BROUGHT, PROOFS
from tests.compose import looks
from tests.compose.stacks import ComposeCli
from tests.live.scrapes import read, until

pytestmark = pytest.mark.docker
REDIS, POSTGRES, MONGO = "redis:8.4.6-bookworm", "postgres:17.11-bookworm", "mongo:8.0.37"
FILE = """\
postgres: {memory: 64mb}
redis: {memory: 64mb}
mongodb:
  memory: 256mb
  databases:
    chatdb: {indexes: {users: [{keys: {username: 1}, unique: true}]}}
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: chatdb}
"""


@pytest.fixture(scope="module")
def up(module_stack: ComposeCli) -> ComposeCli:
    module_stack.write(FILE)
    module_stack.ok("up")
    assert module_stack.steps() == []
    return module_stack


def test_an_app_reaches_its_databases_with_its_urls(up: ComposeCli) -> None:
    code, said = up.app(REDIS, 'redis-cli --no-auth-warning -u "$REDIS_URL" -e set shop:a 1')
    assert (code, said.strip()) == (0, "OK")
    code, said = up.app(POSTGRES, 'psql -XAtc "create table t(a int)" "$POSTGRES_URL"')
    assert (code, said.strip()) == (0, "CREATE TABLE")
    insert = "db.users.insertOne({username: 1}).acknowledged"
    script = f'HOME=/tmp mongosh --quiet "$MONGO_URI" --eval "{insert}"'
    code, said = up.app(MONGO, script)
    assert (code, said.strip()) == (0, "true")


def test_doctor_status_url_logs_and_shell_work_from_outside(up: ComposeCli) -> None:
    assert [one["problem"] for one in up.json("doctor", "shop")["instances"]] == [None] * 3
    units = {unit["name"]: unit for unit in up.json("status")["units"]}
    assert all(unit["healthy"] and unit["memory"] > 1 << 20 for unit in units.values())
    exporter = up.unit("redis-exporter")
    up.docker.docker("stop", exporter)
    found = up.run("--json", "status")
    services = {one["name"]: one for one in json.loads(found.stdout)["services"]}
    assert set(services) == {up.unit(f"{what}-exporter") for what in ("pg", "redis", "mongo")}
    assert [one["name"] for one in services.values() if not one["healthy"]] == [exporter]
    assert (found.returncode, services[exporter]["state"]) == (1, "stopped")
    told = up.json("doctor")  # nobody's work suffers
    assert [(one["instances"], one["command"]) for one in told["watch"]] == [
        (["redis"], "mngdb up")
    ]
    (step,) = up.steps()
    assert (step["instance"], step["action"], step["object"]) == ("redis", "start", exporter)
    (measured,) = up.run_json("check", "--only", "stack.measured")["findings"]
    assert (measured["verdict"], measured["evidence"]) == (
        "fail",
        f"{exporter} is not running (stopped)",
    )
    up.docker.docker("start", exporter)
    assert f"{exporter}  running " in up.ok("status")
    assert "msg=" in up.ok("logs", exporter)
    assert up.ok("logs", up.unit("pg"), "-n", "1")  # by the name that `status` shows
    assert f"@{up.unit('pg')}:5432/shop" in up.ok("url", "postgres", "shop")
    assert up.ok("shell", "postgres", "--app", "shop", "--", "-Atc", "select current_user") == (
        "shop\n"
    )
    assert up.ok("shell", "redis", "--", "ping") == "PONG\n"
    assert any(
        "ready to accept" in line for line in up.json("logs", "postgres", "-n", "999")["lines"]
    )
    with subprocess.Popen(
        up.argv("logs", "redis", "--follow", "-n", "1"), cwd=up.folder, env=up.environ(),
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == up.ok("logs", "redis", "-n", "1")
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_doctor_looks_at_the_whole_stack_and_sees_a_container_that_is_halted(
    up: ComposeCli,
) -> None:
    found = up.json("doctor")
    assert (found["cause"], found["unknown"], found["watch"]) == (None, [], [])
    up.docker.docker("pause", up.unit("redis"))
    try:
        found = up.run_json("doctor")
    finally:
        up.docker.docker("unpause", up.unit("redis"))
    assert found["cause"]["cause"] == "frozen"
    assert found["cause"]["command"] == f"docker unpause {up.unit('redis')}"
    # Docker's own look may have failed by then
    consequences = {one["cause"] for one in found["cause"]["consequences"]}
    assert consequences - {"unhealthy"} == {"login-down"}
    assert found["others"] == []


def test_keys_are_read_through_the_tunnel(up: ComposeCli) -> None:
    up.redis("eval", "for n = 1, 3000 do redis.call('SET', 'far:' .. n, n) end", "0")
    found = up.json("keys")
    (one,) = [one for one in found["patterns"] if one["pattern"] == "far:*"]
    assert (one["count"], one["without_expiry"]["count"]) == (3000, 3000)
    up.redis("eval", "for n = 1, 3000 do redis.call('DEL', 'far:' .. n) end", "0")


def test_an_app_gets_no_further_than_its_own(up: ComposeCli) -> None:
    code, _ = up.app(REDIS, 'redis-cli --no-auth-warning -u "$REDIS_URL" -e get other:a')
    assert code != 0
    code, said = up.app(POSTGRES, 'psql -c "select 1" "${POSTGRES_URL%/*}/template1"')
    assert code != 0
    assert "pg_hba.conf" in said
    # tools look for the maintenance database; nothing can be done there
    enter = 'psql -XAtc "{}" "${{POSTGRES_URL%/*}}/postgres"'
    code, said = up.app(POSTGRES, enter.format("select current_database()"))
    assert (code, said.strip()) == (0, "postgres")
    for statement in (
        "create table public.t(a int)",
        "create temp table t(a int)",
        "create schema s",
    ):
        code, said = up.app(POSTGRES, enter.format(statement))
        assert code != 0
        assert "permission denied" in said
    code, said = up.app(REDIS, f"redis-cli -e -h {up.unit('redis')} ping")
    assert code != 0
    assert "NOAUTH" in said


def test_a_container_of_another_network_reaches_nothing(up: ComposeCli) -> None:
    up.docker.docker("network", "create", f"{up.name}-other")
    try:
        places = set()
        for what, port in (("pg", 5432), ("redis", 6379), ("mongo", 27017)):
            networks = up.inspect(what)["NetworkSettings"]["Networks"]
            assert set(networks) == {f"{up.name}-db", f"{up.name}-exporters"}
            places |= {
                f"{up.unit(what)}/{port}",
                f"{networks[f'{up.name}-db']['IPAddress']}/{port}",
            }
        probe = "(timeout {1} bash -c 'exec 3<>/dev/tcp/{0}' 2>/dev/null && echo {0}) &"

        def script(seconds: int) -> str:
            return " ".join(probe.format(place, seconds) for place in sorted(places)) + " wait"

        assert up.app(REDIS, script(3), f"{up.name}-other") == (0, "")
        # the same from the databases' own network: the probe can tell
        assert set(up.app(REDIS, script(60))[1].split()) == places
    finally:
        up.docker.docker("network", "rm", f"{up.name}-other")


def test_prometheus_reaches_the_exporters_and_no_database(up: ComposeCli) -> None:
    # an exporter's own time limit may be over sooner on a busy machine
    until(lambda: "\nredis_up 1\n" in up.page("redis-exporter", 9121))
    until(lambda: "redis_config_maxclients" in up.page("redis-exporter", 9121))
    until(lambda: "\npg_up 1\n" in up.page("pg-exporter", 9187))
    probe = f"timeout 2 bash -c 'exec 3<>/dev/tcp/{up.unit('pg')}/5432'"
    assert up.app(REDIS, probe, f"{up.name}-metrics")[0] != 0


def test_an_app_does_not_reach_the_exporters(up: ComposeCli) -> None:
    names, doors = set(), []
    for what, port in (("redis", 9121), ("pg", 9187), ("mongo", 9216)):
        networks = up.inspect(f"{what}-exporter")["NetworkSettings"]["Networks"]
        assert set(networks) == {f"{up.name}-exporters", f"{up.name}-metrics"}
        names.add(name := up.unit(f"{what}-exporter"))
        doors += [(name, port), *((n["IPAddress"], port) for n in networks.values())]

    def opened(seconds: int, network: str | None = None) -> set[str]:
        """The places that answer, all asked at the same time."""
        probe = "(timeout {} bash -c 'exec 3<>/dev/tcp/{}/{}' 2>/dev/null && echo {}) & "
        script = "".join(probe.format(seconds, place, port, place) for place, port in doors)
        return set(up.app(REDIS, f"{script}wait", network)[1].split())

    assert opened(3) == set()
    # the same from Prometheus' network: the probe can tell
    assert names <= opened(20, f"{up.name}-metrics")


@pytest.mark.parametrize(("what", "name"), [("pg", "postgres_admin"), ("redis", "redis_admin")])
def test_a_health_check_puts_no_secret_into_an_environment(
    up: ComposeCli, what: str, name: str
) -> None:
    look = (
        "(for n in 1 2 3 4 5 6 7 8; do sh /etc/mngdb/health.sh >/dev/null || echo bad; done) & "
        "while kill -0 $! 2>/dev/null; do cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline "
        "2>/dev/null | grep -aqF -f /run/secrets/" + name.replace("admin", "password") + " && echo "
        "shown; done; true"
    )
    assert up.exec(what, "bash", "-c", look) == ""
    left = _passfiles(up, what)
    until(lambda: not left & _passfiles(up, what))  # the engine's own check has one, too


def _passfiles(up: ComposeCli, what: str) -> set[str]:
    return {name for name in up.exec(what, "ls", "/tmp").split() if "health" in name}


@pytest.mark.parametrize(
    ("engine", "unit", "port"),
    [("postgres", "pg", 9187), ("redis", "redis", 9121), ("mongodb", "mongo", 9216)],
)
def test_exporters_serve_what_the_rules_and_dashboards_read(
    up: ComposeCli, engine: str, unit: str, port: int
) -> None:
    def served() -> set[str]:
        page = up.page(f"{unit}-exporter", port).replace("\r", "").partition("\n\n")[2]
        return read(page).names

    own = [rule for rule in RULES if rule.subject == engine]
    exprs = [rule.expr for rule in active(own, {engine: [engine]}, Alerts())]
    wanted = {name for one in exprs for name in expr.metrics(one)}
    for panel in grafana.panels()[engine]:
        for query in panel["queries"].values():
            wanted |= set(re.findall(r"(\w+)\{", query))
    assert len(wanted) > 12
    until(lambda: wanted <= served())


def test_its_secret_is_in_no_listing_though_it_takes_none_from_a_file(up: ComposeCli) -> None:
    name, secret = up.unit("mongo-exporter"), up.secret("mongodb_monitor")
    image = up.inspect("mongo-exporter")["Config"]["Image"]
    assert image.startswith(f"{name}:")
    shown = [
        up.docker.docker("inspect", name, image),
        up.docker.docker("history", "--no-trunc", image),
        up.docker.docker("top", name, "-o", "pid,args"),
        up.docker.docker("logs", name),
        (up.rendered / "docker-compose.yml").read_text(),
        (up.rendered / f"build/{name}/Dockerfile").read_text(),
    ]
    assert [text for text in shown if secret in text] == []
    (mount,) = up.inspect("mongo-exporter")["Mounts"]
    assert mount["Destination"] == f"/run/secrets/{name}"  # and no volume of the server's image
    up.docker.docker("exec", name, "test", "-s", mount["Destination"])


def test_mongodb_is_a_primary_with_its_indexes(up: ComposeCli) -> None:
    up.health("mongo")
    script = (
        'HOME=/tmp mongosh --quiet "$MONGO_URI" --eval '
        '"JSON.stringify([db.hello().isWritablePrimary, db.users.getIndexes().map(i => i.name)])"'
    )
    code, said = up.app(MONGO, script)
    assert (code, json.loads(said)) == (0, [True, ["_id_", "username_1"]])


def test_memory_of_containers_is_within_their_limits(up: ComposeCli) -> None:
    found = up.json("memory")
    assert found["errors"] == {}
    for one in found["instances"]:
        assert sum(part["size"] for part in one["parts"]) == one["total"] > 1 << 20
        assert one["limit"] > one["total"]


def test_check_judges_a_container_by_the_same_way(up: ComposeCli) -> None:
    done = up.run("--json", "check")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["summary"]["unknown"] == 0
    failed = [one["id"] for one in report["findings"] if one["verdict"] == "fail"]
    # the tests' image has the mongod that pip has
    assert {one for one in failed if one not in BROUGHT} == PROOFS
    found = {one["id"]: one for one in report["findings"]}
    assert found["postgres.login-required"]["verdict"] == "pass"
    assert found["postgres.bind"]["verdict"] == "not_applicable"


def test_an_app_that_leaves_loses_its_logins_only(up: ComposeCli) -> None:
    up.write(FILE.replace("apps:", "apps:\n  guest: {postgres: guest, redis: 'guest:*'}"))
    up.ok("up")
    assert up.sql("SELECT 1", "guest") == "1"
    up.write(FILE)
    up.ok("up")
    assert up.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'guest'") == "f"
    assert up.sql("SELECT 1", "guest") == "1"
    assert up.steps() == []


def test_a_port_is_published_on_request_on_loopback_only(stack: ComposeCli) -> None:
    text = f"name: {stack.name}\nagent: false\nredis: {{memory: 64mb}}\ntarget:\n  compose:\n"
    Path(stack.folder / "mngdb.yaml").write_text(text + "    publish: {redis: auto}\n")
    stack.ok("up")
    port = json.loads((stack.state / "ports.json").read_text())["publish.redis"]
    stack.ok("up", "--new-ports")  # the container's own is not another's
    ports = stack.inspect("redis")["NetworkSettings"]["Ports"]
    assert ports["6379/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
    probe = f"exec 3<>/dev/tcp/127.0.0.1/{port}; echo PING >&3; head -1 <&3"
    said = subprocess.run(
        stack.docker.inside("bash", "-c", probe), text=True, capture_output=True, check=True
    )
    assert "NOAUTH" in said.stdout
    for bad in ("0.0.0.0:6390", "6390", "127.0.0.1:0"):
        Path(stack.folder / "mngdb.yaml").write_text(text + f"    publish: {{redis: '{bad}'}}\n")
        done = stack.run("plan")
        assert done.returncode == 2
        assert "127.0.0.1" in done.stderr
    Path(stack.folder / "mngdb.yaml").write_text(text + "    publish: {}\n")
    network = f"{stack.name}-published"
    listing = ("network", "ls", "--format", "{{.Name}}")
    assert network in stack.docker.docker(*listing).split()
    stack.ok("up")
    assert network not in stack.docker.docker(*listing).split()
    assert stack.steps() == []


def test_programs_beside_the_engine_get_the_published_addresses(stack: ComposeCli) -> None:
    engines = {"postgres": "127.0.0.1:6391", "redis": "127.0.0.2:6392", "mongodb": "[::1]:6393"}
    text = (
        f"name: {stack.name}\nagent: false\ntls: true\npostgres: {{memory: 64mb}}\n"
        "redis: {memory: 64mb}\nmongodb: {memory: 256mb}\n"
        "apps: {shop: {postgres: shop, redis: 'shop:*', mongodb: shop}}\ntarget:\n  compose:\n"
        "    publish: "
    )
    (stack.folder / "mngdb.yaml").write_text(text + json.dumps(engines) + "\n")
    stack.ok("up")
    found = stack.json("env", "shop", "--published")
    assert (found["POSTGRES_HOST"], found["POSTGRES_PORT"]) == ("127.0.0.1", "6391")
    assert (found["REDIS_HOST"], found["REDIS_PORT"]) == ("127.0.0.2", "6392")
    assert stack.env_of("shop")["REDIS_HOST"] == stack.unit("redis")
    script = (
        "import os, psycopg, pymongo, redis; of = os.environ.get;"
        "print(psycopg.connect(of('POSTGRES_URL')).execute('SELECT 1').fetchone()[0],"
        " redis.from_url(of('REDIS_URL'), ssl_ca_certs=of('REDIS_CA')).incr('shop:n'),"
        " pymongo.MongoClient(of('MONGO_URI')).shop.t.insert_one({}).acknowledged)"
    )
    done = subprocess.run(
        stack.docker.inside(sys.executable, "-c", script),
        env={**os.environ, **found}, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1 1 True\n", "")
    del engines["redis"]
    (stack.folder / "mngdb.yaml").write_text(text + json.dumps(engines) + "\n")
    done = stack.run("env", "shop", "--published")
    assert (done.returncode, done.stdout) == (2, "")
    assert "redis publishes no port" in done.stderr


def test_rendering_again_leaves_a_healthy_server_healthy(stack: ComposeCli) -> None:
    stack.write("agent: false\npostgres: {memory: 64mb}\napps: {shop: {postgres: shop}}\n")
    stack.ok("up")
    stack.health("pg")
    stack.write(
        "agent: false\npostgres: {memory: 64mb}\n"
        "apps: {shop: {postgres: shop}, more: {postgres: more}}\n"
    )
    stack.ok("render", "compose")
    stack.exec("pg", "sh", "/etc/mngdb/health.sh")
    stack.ok("up")
    stack.exec("pg", "sh", "/etc/mngdb/health.sh")
    assert "'more'" in (stack.rendered / "conf" / stack.unit("pg") / "health.sh").read_text()
    assert stack.steps() == []


def test_rendering_into_the_stacks_own_folder_by_its_name_leaves_a_healthy_server_healthy(
    stack: ComposeCli,
) -> None:
    stack.write('agent: false\nredis: {memory: 32mb}\napps: {shop: {redis: "shop:*"}}\n')
    stack.ok("up")
    conf = stack.rendered / "conf" / stack.unit("redis")
    before = {path.name: path.read_text() for path in conf.iterdir()}
    stack.write(
        'agent: false\nredis: {memory: 32mb}\napps: {shop: {redis: "shop:*"}, '
        'more: {redis: "more:*"}}\n'
    )
    stack.ok("render", "compose", "--output", str(stack.rendered))
    assert {path.name: path.read_text() for path in conf.iterdir()} == before
    stack.exec("redis", "sh", "/etc/mngdb/health.sh")
    stack.ok("up")
    assert stack.steps() == []


@pytest.mark.parametrize("look", looks.ALL, ids=lambda look: look.__name__)
def test_what_is_wrong_inside_is_found(up: ComposeCli, look: Callable[[ComposeCli], None]) -> None:
    look(up)
