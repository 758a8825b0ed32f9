"""`init --from`, `adopt: true`: servers as teams have them are described and stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from mngdb.cli import adopt
from mngdb.ops.adopt import Source, describe
from mngdb.secret import Secret
from tests.checks.postgres_server import PASSWORD
from tests.conftest import Cli, free_port
from tests.live import faults
from tests.live.clients import problems, set_secret
from tests.live.scrapes import until
from tests.live.teams import SECRET, Mongo, Postgres, Redis, Team, a_redis, mongo, postgres

pytestmark = pytest.mark.live

Teams = Mapping[str, Team]
#: The logins that are apps of each server, with what the file says of them.
PEOPLE = {f"person{number}": {"database": "shop", "access": "readwrite"} for number in range(1, 11)}
APPS = {
    "postgres": {
        "shop": {"databases": ["shop", "shop_test"], "create_databases": True},
        "grafana": "grafana",
        "report": {
            "database": "shop",
            "access": "readonly",
            "statement_timeout": "90s",
            "lock_timeout": "1500ms",
            "idle_in_transaction_timeout": "90m",
        },
        "worker": {"database": "shop", "access": "readwrite"},
        **PEOPLE,
    },
    "redis": {
        "shop": "shop:*",
        "cache": {"keys": ["cache:*", "tmp:*"], "channels": []},
        "report": {"keys": "shop:*", "channels": [], "access": "readonly"},
    },
    "mongodb": {
        "chat": "chat",
        "nested": "chat",
        "several": {"databases": ["chat", "shop"]},
        "report": {"database": "chat", "access": "readonly"},
    },
    "redis2": {},
}
#: What each has to say of those that are none, by a word.
SAID = {
    "database shop has": "extensions: [pg_trgm]",
    "report": "app.token, search_path = 'sales, public', statement_timeout = '5s' in shop",
    "boss": "superuser",
    "standby": "REPLICATION",
    "readers": "no groups",
    "auditors": "itself a member of writers",
    "Clerk 2": "CREATEDB",
    "partial": "reads 1, writes 0 of 2 tables",
    "mixed": "rights differ by key",
    "selected": "no selectors",
    "gone": "disabled",
    "keeper": "an administrator",
    "rooms": "no word for rooms@admin",
    "shop of the database shop": "logins of the database admin only",
    "default privileges in shop": "on tables that shop creates",
    "chat.messages.text_1": "no words for its options",
    "requirepass": "no app can be told from another",
}
MORE = """\
  fourth: {postgres: fourth, redis: "fourth:*", redis2: "fourth:*", mongodb: fourth}
  looker: {postgres: {database: shop, access: readonly}}
"""


@pytest.fixture(scope="module")
def teams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teams]:
    """The servers by the names that their instances get."""
    with ExitStack() as stack:
        yield {
            "postgres": stack.enter_context(postgres()),
            "redis": stack.enter_context(a_redis(tmp_path_factory.mktemp("acl"), acl=True)),
            "redis2": stack.enter_context(a_redis(tmp_path_factory.mktemp("plain"), acl=False)),
            "mongodb": stack.enter_context(mongo()),
        }


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def init(cli: Cli, *chosen: Team, name: str = "", **more: Any) -> Any:
    """Describe servers, whose passwords are in a file."""
    passwords = cli.folder / "passwords"
    passwords.write_text("".join(f"{one.password}\n" for one in chosen))
    urls = [word for one in chosen for word in ("--from", one.url)]
    named = ["--name", name] if name else []
    return cli.run("init", *named, *urls, "--password-file", str(passwords), **more)


def rights(teams: Teams) -> dict[str, dict[str, Any]]:
    return {name: one.rights() for name, one in teams.items()}


def enter_all(teams: Teams) -> None:
    """Every old app comes in by its old password, and sees what it saw."""
    for name, one in teams.items():
        for login in APPS[name]:
            assert one.enter(login)
    assert teams["redis2"].enter("default")


def test_a_team_is_described_and_a_fourth_app_is_added(teams: Teams, cli: Cli) -> None:
    before = rights(teams)
    done = init(cli, *teams.values())
    assert done.returncode == 0, done.stderr
    text = (cli.folder / "mngdb.yaml").read_text()
    assert SECRET not in text
    document = yaml.safe_load(text)
    assert document["adopt"] is True
    found: dict[str, dict[str, Any]] = {name: {} for name in teams}
    for app, given in document["apps"].items():
        for name, right in given.items():
            found[name][app] = right
    assert found == APPS
    assert "hidden-by-us" not in text
    flat = re.sub(r"\s*\n\s*# *", " ", text)
    for login, word in SAID.items():
        assert re.search(rf"{re.escape(login)}.*{re.escape(word)}", flat), login
    assert document["mongodb"]["databases"]["chat"]["indexes"] == {
        "users": [{"keys": {"username": 1}, "unique": True}],
        "tokens": [{"keys": {"expiresAt": 1}, "ttl": "0s"}],
        "messages": [{"keys": {"room": 1, "at": -1}, "name": "by_room"}],
    }
    plan = cli.json("plan")
    assert plan["steps"] == []
    kept = " ".join(one["text"] for one in plan["remarks"])
    assert "not done: grant database grafana: owner postgres → grafana" in kept
    told = "kept: revoke database shop: PUBLIC's right to connect; that locks out partial"
    assert told in kept
    checked = cli.run("check")
    assert checked.returncode == 1, checked.stderr
    assert "stack.logins" not in checked.stdout
    first, again = cli.run("up"), cli.run("up")
    assert (first.returncode, again.returncode) == (0, 0)
    notes = first.stderr.count("note: ")
    assert notes > 3
    assert "as before" not in first.stderr
    assert f"{notes} notes as before: mngdb plan" in again.stderr
    assert "note: " not in again.stderr
    assert rights(teams) == before

    cli.write(text.replace("apps:\n", f"apps:\n{MORE}"))
    steps = sorted(one["object"] for one in cli.json("plan")["steps"])
    assert sorted(one["object"] for one in cli.json("up")["steps"]) == steps
    assert cli.json("plan")["steps"] == []
    assert problems(cli, "fourth") == dict.fromkeys(teams)
    assert problems(cli, "looker") == {"postgres": None}
    enter_all(teams)
    after = rights(teams)
    assert [one for name in teams for one in lost(before[name], after[name])] == []
    missing = cli.run("env", "shop")
    assert missing.returncode == 2
    assert "mngdb secret set postgres_shop" in missing.stderr
    for name in ("postgres_shop", "redis_shop"):
        set_secret(cli, name, SECRET)
    assert problems(cli, "shop") == {"postgres": None, "redis": None}
    refused = cli.run("rotate", "shop")
    assert refused.returncode == 2
    assert "mngdb up --allow 'role shop'" in refused.stderr
    assert [one["object"] for one in cli.json("plan")["steps"]] == ["settings of shop"]

    cli.write(text)  # the fourth leaves: nothing is revoked
    left = cli.json("plan")
    assert {one["object"] for one in left["steps"]} == {
        "settings of shop",
        "settings of fourth",
        "settings of looker",
    }
    gone = [one for one in left["remarks"] if "login fourth" in one["text"]]
    assert len(gone) == len(teams)  # told once for each server, with what ends it
    assert all("it can still log in" in one["text"] for one in gone)
    assert any("--allow 'role fourth'" in one["hint"] for one in gone)
    cli.ok("up", "--prune")
    assert any("login fourth" in one["text"] for one in cli.json("plan")["remarks"])
    cli.ok("up", "--allow", "role looker", "--allow", "role fourth", "--prune")
    enter_all(teams)
    admin = teams["postgres"]
    assert isinstance(admin, Postgres)
    admin.sql("DROP DATABASE fourth")
    admin.sql("DROP ROLE fourth")


def lost(before: Any, after: Any) -> list[str]:
    """What is not there any more, or is another; rights may have come to it."""
    gone = []
    for name, old in before.items():
        new = after.get(name)
        if isinstance(old, dict) and "acl" in old and isinstance(new, dict):
            more = set(old["acl"] or ()) <= set(new["acl"] or ())
            same = {**old, "acl": None} == {**new, "acl": None} and more
        else:
            same = old == new
        gone += [] if same else [f"{name}: {old} → {new}"]
    return gone


def test_who_waits_is_told_how_far_it_is(
    teams: Teams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(adopt, "_PAUSE", 0)
    servers = [
        Source(name, teams[name].url, Secret(teams[name].password))
        for name in ("postgres", "mongodb")
    ]
    describe(tmp_path / "mngdb.yaml", "mng", servers, [], "local", {}, adopt.Progress())
    said = capsys.readouterr().err.splitlines()
    assert "postgres: 2 of 3 databases" in said
    assert "mongodb: 0 of 1 databases" in said


def test_two_projects_of_one_name_leave_each_others_logins(
    teams: Teams, cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Cli(tmp_path_factory.mktemp("other"))
    servers = [teams[name] for name in ("postgres", "redis", "mongodb")]
    for project, app in ((cli, "first"), (other, "second")):
        assert init(project, *servers, name="team").returncode == 0
        text = (project.folder / "mngdb.yaml").read_text()
        line = f'  {app}: {{postgres: {app}, redis: "{app}:*", mongodb: {app}}}\n'
        project.write(text.replace("apps:\n", f"apps:\n{line}"))
        project.ok("up")
    other.ok("up", "--prune", "--allow", "first")
    plan = other.json("plan")
    assert plan["steps"] == []
    remarks = [one["text"] for one in plan["remarks"]]
    told = [text for text in remarks if "another stack that is named team" in text]
    assert len(told) == len(servers)
    assert all("made the logins first:" in text for text in told)
    assert problems(cli, "first") == dict.fromkeys(("postgres", "redis", "mongodb"))

    # the same app there: neither its password nor its rights change, until the vault is shared
    other.write((other.folder / "mngdb.yaml").read_text().replace("second", "first"))
    other.ok("up")
    assert problems(cli, "first") == dict.fromkeys(("postgres", "redis", "mongodb"))
    for name in ("postgres", "redis", "mongodb"):
        secret = (cli.state / "secrets" / f"{name}_first").read_text()
        set_secret(other, f"{name}_first", secret)
    other.ok("up")
    plan = other.json("plan")
    assert plan["steps"] == []
    assert not any("another stack" in one["text"] for one in plan["remarks"])


def test_what_others_change_while_it_runs_is_told_and_nothing_of_theirs_is_lost(
    teams: Teams, cli: Cli
) -> None:
    server = teams["postgres"]
    assert isinstance(server, Postgres)
    before = server.rights()
    init(cli, server)
    looker = "  looker: {postgres: {database: shop, access: readonly}}\n"
    third = "  third: {postgres: {database: shop_test, access: readonly}}\n"
    text = (cli.folder / "mngdb.yaml").read_text()
    cli.write(text.replace("apps:\n", f"apps:\n{looker}{third}"))
    waits = (
        "SELECT count(*) FROM pg_locks, pg_roles WHERE NOT granted "
        "AND locktype = 'transactionid' AND rolname = 'third'"
    )
    with server.connect("postgres", "postgres", PASSWORD) as admin, admin.transaction():
        admin.execute("GRANT CONNECT ON DATABASE shop TO weak")
        up = faults.begin(cli, "up")
        until(lambda: server.sql(waits) != [(0,)])
        server.sql("DROP ROLE third")
    _, told = up.communicate(timeout=60)
    assert up.returncode == 1, told
    assert 'role "third" does not exist' in told
    assert "run 'mngdb up' again" in told
    server.sql("ALTER DATABASE shop_test RENAME TO shop_old")

    # what the file asks for and is gone is made again; what came meanwhile stays
    cli.ok("up")
    assert cli.json("plan")["steps"] == []
    assert problems(cli, "looker") == problems(cli, "third") == {"postgres": None}
    after = server.rights()
    assert [one for one in lost(before, after) if "shop_test" not in one] == []
    assert server.sql(
        "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'shop_old'"
    ) == [("shop",)]


def test_a_login_is_taken_over_only_by_its_name(teams: Teams, cli: Cli) -> None:
    shop = teams["redis"]
    assert isinstance(shop, Redis)
    init(cli, shop)
    set_secret(cli, "redis_shop", "not-the-one-that-it-has")
    assert "mngdb secret set redis_shop stores" in cli.run("doctor", "shop").stdout
    cli.ok("up", "--allow", "cache")
    assert problems(cli, "cache") == {"redis": None}
    assert shop.enter("shop")
    with shop.client("admin", SECRET) as admin:
        assert "-flushall" not in str(admin.acl_getuser("shop")["commands"])
        admin.acl_setuser(
            "cache",
            enabled=True,
            reset=True,
            passwords=[f"+{SECRET}"],
            keys=["cache:*", "tmp:*"],
            categories=["+@read", "+@write", "+@connection"],
        )


def test_what_the_file_asks_for_beyond_is_granted_and_marked(teams: Teams, cli: Cli) -> None:
    redis, chat = teams["redis"], teams["mongodb"]
    assert isinstance(redis, Redis)
    assert isinstance(chat, Mongo)
    init(cli, redis, chat)
    text = (cli.folder / "mngdb.yaml").read_text()
    wider = text.replace('"tmp:*"]', '"tmp:*", "more:*"]').replace(
        "mongodb: {database: chat, access: readonly}", "mongodb: {database: chat}"
    )
    cli.write(wider)
    steps = cli.json("plan")["steps"]
    assert [(one["action"], one["object"]) for one in steps] == [
        ("grant", "cache"),
        ("grant", "report"),
    ]
    assert all("worth mending" in one["detail"] for one in steps)
    cli.ok("up")
    with redis.client("cache", SECRET) as client:
        client.set("more:1", "x")
        client.set("cache:1", "x")
    with chat.client("report", SECRET) as client:
        client.chat.users.insert_one({"username": "new"})
    assert cli.json("plan")["steps"] == []


@pytest.mark.parametrize("name", ["redis", "redis2"])
def test_a_login_outlives_a_restart_where_nobody_may_see_the_settings(
    teams: Teams, cli: Cli, name: str
) -> None:
    """Whether there is an ACL file is not to be seen: one has it, the other has none."""
    team = teams[name]
    assert isinstance(team, Redis)
    user = "admin" if name == "redis" else "default"
    rules = ("on", f">{SECRET}", "~*", "&*", "+@all", "-config")
    with team.client(user, SECRET) as admin:
        admin.execute_command("ACL", "SETUSER", "operator", *rules)
        try:
            url = re.sub("//[a-z]+@", "//operator@", team.url)
            cli.ok("init", "--from", "-", stdin=url.replace("@", f":{SECRET}@"))
            file = cli.folder / "mngdb.yaml"
            text = re.sub("(?m)^(# )?apps:.*", "apps:", file.read_text())
            cli.write(text.replace("apps:\n", 'apps:\n  late: {redis: "late:*"}\n'))
            cli.ok("up")
            assert problems(cli, "late") == {"redis": None}
            saved = admin.config_get("aclfile")["aclfile"]
            assert bool(saved) == (name == "redis")
            assert not saved or "user late on " in Path(saved).read_text()
        finally:
            admin.execute_command("ACL", "DELUSER", "operator", "late")


@pytest.mark.parametrize(("name", "word"), [
    ("postgres", "REPLICATION"),
    ("redis", "the logins could not be seen"),
    ("mongodb", "the logins could not be seen"),
])  # fmt: skip
def test_weak_rights_see_less_and_say_so(teams: Teams, cli: Cli, name: str, word: str) -> None:
    team = teams[name]
    if isinstance(team, Postgres):
        team.sql("CREATE DATABASE closed OWNER grafana")
        team.sql("REVOKE ALL ON DATABASE closed FROM PUBLIC")
    url = re.sub("//[a-z]+@", "//weak@", team.url)
    passwords = cli.folder / "passwords"
    passwords.write_text(f"{SECRET}\n")
    cli.ok("init", "--from", url, "--password-file", str(passwords))
    assert word in (cli.folder / "mngdb.yaml").read_text()
    assert cli.json("plan")["steps"] == []
    if isinstance(team, Postgres):
        team.sql("DROP DATABASE closed")


def test_a_password_comes_from_standard_input_or_the_environment_never_from_argv(
    teams: Teams, cli: Cli
) -> None:
    team = teams["redis"]
    typed = team.url.replace("admin@", f"admin:{SECRET}@")
    done = cli.run("init", "--from", typed)
    assert done.returncode == 2
    assert SECRET not in done.stderr + done.stdout
    assert "contains a password" in done.stderr
    assert not (cli.folder / "mngdb.yaml").exists()
    nobody = cli.run("init", "--from", team.url, stdin="")
    assert nobody.returncode == 2
    assert "--password-file" in nobody.stderr
    cli.ok("init", "--from", "-", stdin=f"{typed}\n")
    assert SECRET not in (cli.folder / "mngdb.yaml").read_text()
    again = cli.run("init", "--from", team.url, stdin="")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    other = Cli(cli.folder, env={"MNGDB_SECRET_REDIS_ADMIN": SECRET})
    other.ok("-f", "other.yaml", "init", "--name", "other", "--from", team.url, stdin="")


def test_faults_are_one_sentence_and_write_nothing(teams: Teams, cli: Cli) -> None:
    at = {name: one.url for name, one in teams.items()}
    cases = {
        f"redis://admin@127.0.0.1:{free_port()}": (3, "127.0.0.1"),
        at["redis"].replace("redis:", "rediss:"): (3, "TLS"),
        **{
            re.sub(r"(?<=\d)/.*", "", at[name]).replace(f"{scheme}:", "redis:"): (
                3,
                f"is a {title}",
            )
            for name, scheme, title in (
                ("postgres", "postgresql", "PostgreSQL server, not Redis"),
                ("mongodb", "mongodb", "MongoDB server, not Redis"),
            )
        },
        **{
            at["redis"].replace("redis:", f"{scheme}:"): (3, "is a Redis server, not")
            for scheme in ("postgresql", "mongodb")
        },
        at["mongodb"].replace("admin@", ""): (3, "mongodb://USER@HOST"),
        "mysql://root@127.0.0.1": (2, "is not a URL"),
        "redis://admin@127.0.0.1:99999": (2, "url"),
        "nothere.sql": (2, "cannot be read"),
    }
    passwords = cli.folder / "passwords"
    passwords.write_text(f"{SECRET}\n")
    for url, (code, word) in cases.items():
        done = cli.run("init", "--from", url, "--password-file", str(passwords))
        assert done.returncode == code, (url, done.stderr)
        assert word in done.stderr, (url, done.stderr)
        assert "Traceback" not in done.stderr
        assert not (cli.folder / "mngdb.yaml").exists()
    shop = teams["redis"]
    assert isinstance(shop, Redis)
    with shop.client("admin", SECRET) as admin:  # asking whose server it is leaves no trace
        assert "mngdb-probe" not in str(admin.execute_command("ACL", "LOG"))
    passwords.write_text("wrong\n")
    for url in at.values():
        done = cli.run("init", "--from", url, "--password-file", str(passwords))
        assert done.returncode == 3, (url, done.stderr)
        assert not (cli.folder / "mngdb.yaml").exists()


def test_doctor_takes_a_login_of_others_as_it_is(teams: Teams, cli: Cli) -> None:
    """It may have more than the file says, and commands that others chose."""
    postgres, redis, chat = (teams[name] for name in ("postgres", "redis", "mongodb"))
    assert isinstance(postgres, Postgres)
    assert isinstance(redis, Redis)
    with redis.client("admin", SECRET) as admin:
        admin.execute_command("ACL", "SETUSER", "narrow", "on", f">{SECRET}", "~n:*", "+get")
        admin.execute_command("ACL", "SETUSER", "wide", "on", f">{SECRET}", "~w:*", "+@all")
        try:
            init(cli, postgres, redis, chat)
            apps = {
                "postgres": ("shop", "report", "worker", "grafana"),
                "redis": ("shop", "narrow", "wide"),
                "mongodb": ("chat", "report", "nested", "several"),
            }
            for name, logins in apps.items():
                for login in logins:
                    set_secret(cli, f"{name}_{login}", SECRET)
            for _ in range(2):  # the first leaves no refusal that the second tells
                assert "11 app logins work" in cli.ok("doctor")
            postgres.sql("ALTER DATABASE grafana OWNER TO boss")
            postgres.sql("REVOKE CONNECT ON DATABASE grafana FROM PUBLIC, grafana")
            assert "mngdb up --allow 'database grafana'" in cli.run("doctor", "grafana").stdout
            postgres.sql("CREATE DATABASE hr")
            postgres.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "hr")  # as since 15
            file = cli.folder / "mngdb.yaml"
            file.write_text(file.read_text() + "  pay: {postgres: hr}\n")
            cli.ok("up")
            done = cli.run("doctor", "pay")
            assert (done.returncode, "may create no tables there" in done.stdout) == (1, True)
            assert "mngdb up --allow 'database hr'" in done.stdout
        finally:
            admin.execute_command("ACL", "DELUSER", "narrow", "wide")
