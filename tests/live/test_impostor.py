"""A stranger listens where a server should: no command gives it a password.

The table is of the whole command line: what can be called and is not in it fails the test.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import click
import psycopg
import pytest
import redis

from mngdb.cli.main import cli as command_line
from mngdb.targets.local import programs
from tests.checks.postgres_server import stock
from tests.conftest import EVERYTHING, Cli
from tests.live import faults, impostors
from tests.live.clients import set_secret
from tests.live.impostors import Speak, Stranger, listening
from tests.live.scrapes import AGENT, ENGINES, scrape, until, whole

pytestmark = pytest.mark.live

Path_ = tuple[str, ...]
#: Command to the arguments that it is called with; once for each.
COMMANDS: dict[Path_, list[Path_]] = {
    ("init",): [()],
    ("config",): [()],
    ("schema",): [()],
    ("plan",): [()],
    ("up",): [(), ("--prune",)],
    ("status",): [()],
    ("logs",): [("redis",)],
    ("stacks",): [()],
    ("stacks", "attach"): [("mng",)],
    ("url",): [("redis",), ("postgres", "shop")],
    ("env",): [("shop",)],
    ("env", "check"): [(".env",)],
    ("env", "example"): [()],
    ("shell",): [
        *((engine, "--app", "shop") for engine in ("postgres", "redis", "mongodb")),
        *((engine,) for engine in ("postgres", "redis", "mongodb")),
    ],
    ("doctor",): [(), ("shop",)],
    ("check",): [(), ("--fix",), ("--only", "stack.logins")],
    ("backup", "take"): [()],
    ("backup", "prune"): [("--dry-run",)],
    ("backup", "kit"): [("--output", "-")],
    ("backups",): [()],
    ("verify",): [()],
    ("restore",): [("redis", "--latest")],
    ("drill",): [(), ("--history",), ("--remote", "--kit", "/nonexistent")],
    ("sessions",): [()],
    ("connections",): [()],
    ("slow",): [()],
    ("indexes",): [()],
    ("bloat",): [()],
    ("memory",): [()],
    ("locks",): [()],
    ("locks", "kill"): [("1", "--terminate")],
    ("keys",): [(), ("--exact",)],
    ("rotate",): [("--all", "--now"), ("--status",)],
    ("secret", "set"): [("redis_shop",)],
    ("secrets", "scan"): [()],
    ("secrets", "rotate"): [("jwt",)],
    ("secrets", "push"): [("--to", "environ")],
    ("secrets", "pull"): [("--from", "environ")],
    ("secrets", "diff"): [("--to", "environ")],
    ("alerts",): [()],
    ("alerts", "rules"): [()],
    ("alerts", "test"): [("nobody",)],
    ("render", "prometheus"): [()],
    ("render", "alertmanager"): [()],
    ("render", "grafana"): [()],
    ("render", "runbooks"): [()],
    ("render", "ci"): [("github",)],
    ("render", "compose"): [()],
    ("render", "iam"): [()],
    ("render", "systemd"): [()],
    ("render", "preset"): [(), ("celery",)],
    ("render", "sudoers"): [()],
}
#: What ends the state that the others are tried in, in this order.
LAST: dict[Path_, list[Path_]] = {
    ("restart",): [(), ("redis",)],
    ("down",): [()],
    ("destroy",): [("--yes", "mng")],
}
#: Runs until it is stopped, a test of its own; and what leaves the connecting to the `up` of a unit
#: of this very machine's systemd.
APART = {("agent",), ("enable",), ("disable",)}
#: Seconds that a command may take; the machine may be busy.
_PATIENCE = 20.0
STACK = faults.STACK
UNITS = ("mng-pg", "mng-redis", "mng-mongo")
#: What is put into the vault.
GIVEN = "given-by-hand-" * 3
#: Words with which each engine's stranger begins.
WORDS: dict[str, tuple[Speak, Speak, Speak]] = {
    "clear": (
        impostors.postgres_wants_cleartext,
        impostors.redis_says_ok,
        impostors.mongodb_wants_plain,
    ),
    "md5": (
        impostors.postgres_wants_md5,
        impostors.redis_wants_a_login,
        impostors.mongodb_breaks_off,
    ),
    "half": (
        impostors.postgres_breaks_off,
        impostors.redis_says_ok,
        impostors.mongodb_signs_wrongly,
    ),
    "open": (
        impostors.postgres_trusts,
        impostors.redis_wants_a_login,
        impostors.mongodb_wants_plain,
    ),
    "none": (impostors.silent, impostors.silent, impostors.silent),
}


def every(command: click.Command, path: Path_ = ()) -> Iterator[Path_]:
    """Whatever can be called: commands, and groups that do something by themselves."""
    if not isinstance(command, click.Group):
        yield path
        return
    if command.invoke_without_command or type(command).__module__ == "mngdb.cli.env":
        yield path
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from every(found, (*path, name))


def test_the_table_has_every_command() -> None:
    assert set(every(command_line)) == {*COMMANDS, *LAST, *APART}


def secrets_of(cli: Cli) -> list[bytes]:
    """Every form of every secret of the vault."""
    files = [one for one in (cli.state / "secrets").iterdir() if one.is_file()]
    assert len(files) > 5
    logins = ("postgres", "admin", "shop", "monitor", "__system")
    return [
        form
        for one in files
        for login in logins
        for secret in (one.read_text().strip(), GIVEN)
        for form in impostors.forms(secret, login)
    ]


def nothing_is_said(strangers: Sequence[Stranger], secrets: Sequence[bytes]) -> None:
    """No stranger has heard a secret, in whatever form."""
    for one in strangers:
        heard = bytes(one.heard)
        assert [form for form in secrets if form in heard] == [], f"port {one.port} heard it"


def call(cli: Cli, words: Path_) -> tuple[Path_, float]:
    """Run a command; it ends in time, and without a traceback."""
    begun = time.monotonic()
    done = cli.run(*words, stdin=GIVEN if words[0] == "secret" else "", timeout=60.0)
    assert "Traceback" not in done.stderr, f"{words}: {done.stderr}"
    assert done.returncode in {0, 1, 2, 3}, f"{words}: {done.returncode} {done.stderr}"
    return words, time.monotonic() - begun


def call_all(cli: Cli, table: dict[Path_, list[Path_]]) -> dict[Path_, float]:
    """Every command of a table, several at a time."""
    words = [(*command, *more) for command, calls in table.items() for more in calls]
    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(lambda one: call(cli, one), words))


@pytest.fixture
def up(cli: Cli) -> Cli:
    cli.write(STACK)
    cli.ok("up")
    (cli.folder / ".env").write_text(cli.ok("env", "shop"))
    return cli


def bring(cli: Cli, state: str) -> list[int]:
    """Make the state, and say the ports at which the file expects servers that are not there."""
    if state == "down":
        cli.ok("down")
    elif state == "killed":
        for unit in UNITS:
            os.kill(faults.pid(cli, unit), signal.SIGKILL)
    else:
        # the servers run where an earlier file said
        cli.write(
            STACK.replace("PORT1", "PORT4").replace("PORT2", "PORT5").replace("PORT3", "PORT6")
        )
        return [cli.port(one) for one in (4, 5, 6)]
    return [cli.port(one) for one in (1, 2, 3)]


#: What strangers say, and what became of the servers; the first ones are tried in CI.
ROUNDS = (
    *(("clear", "killed"), ("half", "moved")),
    *(("clear", "down"), ("clear", "moved"), ("md5", "killed")),
    *(("open", "killed"), ("open", "moved"), ("none", "killed")),
)


@pytest.mark.slow
@pytest.mark.parametrize(("words", "state"), ROUNDS if EVERYTHING else ROUNDS[:2])
def test_no_command_gives_a_secret_to_a_stranger(up: Cli, words: str, state: str) -> None:
    secrets = secrets_of(up)
    ports = bring(up, state)
    with listening(dict(zip(ports, WORDS[words], strict=True))) as strangers:
        times = call_all(up, COMMANDS)
        assert all(one.calls for one in strangers), "who was not asked heard nothing"
        for command, calls in LAST.items():
            times |= call_all(up, {command: calls})
        nothing_is_said(strangers, secrets)
    slow = {
        " ".join(one): round(seconds, 1) for one, seconds in times.items() if seconds > _PATIENCE
    }
    assert slow == {}


@pytest.mark.slow
def test_the_agent_gives_no_secret_to_who_takes_the_port_after_a_crash(cli: Cli) -> None:
    cli.write(ENGINES + AGENT)
    cli.ok("up")
    for engine in ("postgres", "redis", "mongodb"):
        whole(cli, engine)
    secrets = secrets_of(cli)
    agent = int((cli.state / "agent/agent.pid").read_text().split()[0])
    os.kill(agent, signal.SIGSTOP)  # or it would start them again first
    try:
        ports = bring(cli, "killed")
        with listening(dict(zip(ports, WORDS["clear"], strict=True))) as strangers:
            os.kill(agent, signal.SIGCONT)
            pages = []
            for _ in range(3):  # meanwhile it tries to start the servers, too
                pages += [scrape(cli, engine)[f"{engine}_up"] for engine in ("redis", "mongodb")]
                pages.append(scrape(cli, "postgres")["pg_up"])
            until(lambda: all(one.calls for one in strangers))
            assert set(pages) == {0.0}
            nothing_is_said(strangers, secrets)
    finally:
        os.kill(agent, signal.SIGCONT)
    cli.ok("up")
    assert whole(cli, "redis")["redis_up"] == 1, "with the servers it goes on by itself"


# --- what the strangers would hear from whoever takes no care


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    """A stack whose servers have gone: for tests that bring strangers of their own."""
    module_cli.write(STACK)
    module_cli.ok("up")
    module_cli.ok("down")
    return module_cli


def test_the_strangers_hear_a_driver_that_is_left_alone(stack: Cli) -> None:
    env, secrets = stack.env_of("shop"), secrets_of(stack)
    postgres, redis_port = stack.port(1), stack.port(2)
    talk = {postgres: impostors.postgres_wants_cleartext, redis_port: impostors.redis_says_ok}
    with listening(talk) as strangers:
        with psycopg.connect(env["POSTGRES_URL"]):
            pass
        with redis.Redis.from_url(env["REDIS_URL"]) as client:
            client.ping()
        for one in strangers:
            with pytest.raises(AssertionError, match="heard it"):
                nothing_is_said([one], secrets)
    with listening({postgres: impostors.postgres_wants_md5}) as (sql,):
        with psycopg.connect(env["POSTGRES_URL"]):
            pass
        salted = impostors.salted(env["POSTGRES_PASSWORD"], "shop")
        assert salted in sql.heard, "what MD5 sends can be guessed at for ever"


@pytest.mark.parametrize(
    "speak",
    [
        impostors.postgres_wants_cleartext,
        impostors.postgres_wants_md5,
        impostors.postgres_trusts,
        impostors.postgres_breaks_off,
        impostors.postgres_signs_wrongly,
        impostors.silent,
    ],
)
def test_another_process_at_postgres_port_is_told_in_one_sentence(stack: Cli, speak: Speak) -> None:
    with listening({stack.port(1): speak}) as (stranger,):
        done = stack.run("locks")
        assert done.returncode == 3
        assert f"a process other than mng-pg listens on 127.0.0.1:{stack.port(1)}" in done.stderr
        nothing_is_said([stranger], secrets_of(stack))
        salted = impostors.salted((stack.state / "secrets/postgres_admin").read_text())
        assert salted not in stranger.heard


@pytest.mark.parametrize(
    "speak", [impostors.mongodb_breaks_off, impostors.mongodb_signs_wrongly, impostors.silent]
)
def test_another_process_at_mongodb_port_is_told_in_one_sentence(stack: Cli, speak: Speak) -> None:
    with listening({stack.port(3): speak}) as (stranger,):
        for words in (("indexes", "mongodb"), ("doctor", "shop")):
            done = stack.run(*words)
            assert done.returncode in {1, 3}
            where = f"127.0.0.1:{stack.port(3)}"
            assert f"a process other than mng-mongo listens on {where}" in done.stdout + done.stderr
        nothing_is_said([stranger], secrets_of(stack))


@pytest.mark.parametrize(
    "speak", [impostors.redis_says_ok, impostors.redis_wants_a_login, impostors.silent]
)
def test_another_process_at_redis_port_is_told_in_one_sentence(stack: Cli, speak: Speak) -> None:
    with listening({stack.port(2): speak}) as (stranger,):
        done = stack.run("keys")
        assert done.returncode == 3
        assert f"a process other than mng-redis listens on 127.0.0.1:{stack.port(2)}" in done.stderr
        assert stranger.calls > 0
        assert stranger.heard == b"", "it was not even greeted"


def test_psql_with_the_variables_of_an_app_gives_a_stranger_nothing(stack: Cli) -> None:
    env = stack.env_of("shop")
    assert env["PGREQUIREAUTH"] == "scram-sha-256"
    psql = f"{programs.find('postgres', '17', None, None).folder}/psql"
    argv = [psql, "-XAtc", "SELECT 1", env["POSTGRES_URL"]]
    with listening({stack.port(1): impostors.postgres_wants_cleartext}) as (stranger,):
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert "server requested a cleartext password" in done.stderr
        nothing_is_said([stranger], secrets_of(stack))


def test_urls_of_apps_have_no_parameter_that_drivers_refuse(stack: Cli) -> None:
    assert "/postgres?require_auth=scram-sha-256&" in stack.ok("url", "postgres")
    assert "require_auth" not in stack.ok("url", "postgres", "shop")
    assert "require_auth" not in stack.env_of("shop")["POSTGRES_URL"]


def test_variables_of_an_app_do_not_keep_the_administrator_out_of_the_socket(cli: Cli) -> None:
    cli.write(faults.POSTGRES)
    cli.ok("up")
    cli.env["PGREQUIREAUTH"] = cli.env_of("shop")["PGREQUIREAUTH"]
    assert cli.json("plan")["steps"] == []
    cli.ok("up")


# --- servers that somebody else runs


EXTERNAL = """
postgres: {target: {external: {url: "postgresql://old@127.0.0.1:PORT1/postgres"}}}
apps: {shop: {postgres: shop}}
"""


@pytest.mark.parametrize(
    ("method", "how"),
    [
        ("md5", "it requests old's password as MD5"),
        ("password", "it requests old's password in clear"),
        ("trust", "it accepts old without authentication"),
    ],
)
def test_an_external_postgres_has_to_speak_scram(cli: Cli, method: str, how: str) -> None:
    secret = "the-old-administrators-secret-of-32"
    with stock() as server:
        role = f"ROLE old LOGIN SUPERUSER PASSWORD '{secret}'"
        server.sql("SET password_encryption = 'md5'", f"CREATE {role}")
        own = "host all postgres 127.0.0.1/32 trust\n"
        server.write("pg_hba.conf", f"{own}host all old 127.0.0.1/32 {method}\n")
        server.sql("SELECT pg_reload_conf()")
        cli._ports[1] = server.port
        cli.write(EXTERNAL)
        set_secret(cli, "postgres_admin", secret)
        for command in ("plan", "up", "locks"):
            done = cli.run(command)
            assert done.returncode == 3
            assert "did not prove that it is the PostgreSQL of the file; no" in done.stderr
            assert how in done.stderr
        assert "password_encryption = 'scram-sha-256'" in cli.run("plan").stderr
        # what the remedy says
        server.sql("SET password_encryption = 'scram-sha-256'", f"ALTER {role}")
        server.write("pg_hba.conf", f"{own}host all all 127.0.0.1/32 scram-sha-256\n")
        server.sql("SELECT pg_reload_conf()")
        cli.ok("up")


WAYS = """
instances:
  plain-pg: {engine: postgres, target: {external: {url: "postgresql://a@db.invalid/postgres"}}}
  require-pg:
    {engine: postgres, target: {external: {url: "postgresql://a@db.invalid/x?sslmode=require"}}}
  full-pg:
    {engine: postgres, target: {external: {url: "postgresql://a@db.invalid/x?sslmode=verify-full"}}}
  near-pg: {engine: postgres, target: {external: {url: "postgresql://a@localhost/postgres"}}}
  plain-redis: {engine: redis, target: {external: {url: "redis://a@db.invalid:6379"}}}
  tls-redis: {engine: redis, target: {external: {url: "rediss://a@db.invalid:6379"}}}
  plain-mongo: {engine: mongodb, target: {external: {url: "mongodb://a@h1.invalid:1,h2.invalid:2/"}}}
  any-mongo:
    engine: mongodb
    target: {external: {url: "mongodb://a@h1.invalid/?tls=true&tlsAllowInvalidCertificates=true"}}
  tls-mongo: {engine: mongodb, target: {external: {url: "mongodb+srv://a@db.invalid/"}}}
"""


def test_a_way_to_an_external_server_that_is_open_to_others_is_a_finding(cli: Cli) -> None:
    cli.write(WAYS)
    for name in re.findall(r"^  ([a-z-]+):", WAYS, re.MULTILINE):
        set_secret(cli, f"{name}_admin", "a" * 32)
    done = cli.run("--json", "check", "--all", "--only", "stack.server-verified")
    found = {one["instance"]: one for one in json.loads(done.stdout)["findings"]}
    assert {name: one["verdict"] for name, one in found.items()} == {
        "plain-pg": "fail",
        "require-pg": "fail",
        "full-pg": "pass",
        "near-pg": "not_applicable",
        "plain-redis": "fail",
        "tls-redis": "pass",
        "plain-mongo": "fail",
        "any-mongo": "fail",
        "tls-mongo": "pass",
    }
    assert {one["severity"] for one in found.values()} == {"high"}
    assert "read the passwords" in found["plain-redis"]["evidence"]
    assert (
        "tlsAllowInvalidCertificates=true accepts any certificate" in found["any-mongo"]["evidence"]
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mongodb://a@127.0.0.1/?authMechanism=PLAIN", "the password is sent in clear"),
        ("postgresql://a@127.0.0.1/x?sslmode=verify-ca", "needs the CA's certificate"),
    ],
)
def test_a_url_that_gives_the_password_away_or_verifies_nothing_is_refused(
    cli: Cli, url: str, said: str
) -> None:
    engine = "mongodb" if url.startswith("mongo") else "postgres"
    cli.write(f'{engine}: {{target: {{external: {{url: "{url}"}}}}}}\n')
    set_secret(cli, f"{engine}_admin", "a" * 32)
    done = cli.run("plan")
    assert done.returncode == 2
    assert said in done.stderr


#: In a network of its own: a Redis at an address that is not loopback, then the command.
_ELSEWHERE = """\
ip link set lo up && ip addr add 10.77.0.1/32 dev lo || exit 9
"$0" --bind 10.77.0.1 --port 6379 --save '' --dir "$1" --aclfile "$1/users.acl" >"$1/log" &
until (exec 3<>/dev/tcp/10.77.0.1/6379) 2>/dev/null; do sleep 0.05; done
shift
"$@"
"""


@pytest.mark.root
def test_plan_says_what_is_at_stake_on_the_way_to_an_external_server(
    cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("redis")
    (folder / "users.acl").write_text(f"user default off\nuser admin on >{'a' * 32} ~* &* +@all\n")
    cli.write('redis: {target: {external: {url: "redis://admin@10.77.0.1:6379"}}}\n')
    set_secret(cli, "redis_admin", "a" * 32)
    server = programs.find("redis", "8", None, None).server
    apart = ["unshare", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", _ELSEWHERE]
    done = subprocess.run(
        [*apart, server, str(folder), *cli.argv("plan", "--json")],
        cwd=cli.folder,
        env=cli.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (notice,) = json.loads(done.stdout)["remarks"]
    assert notice["instance"] == "redis"
    assert "read the passwords of the administrator and of every app" in notice["text"]
    assert notice["hint"].startswith("mngdb check --only stack.server-verified ")
