"""init, config, schema, and what a wrong file does to every command."""

from __future__ import annotations

import itertools
import json
import re
import subprocess

import pytest
from jsonschema import Draft202012Validator

from mngdb.spec.source import parse
from tests.conftest import Cli
from tests.unit.files import DESIGN, LONG
from tests.unit.spec import stack

HOUSE = "name: mng\npostgres: {}\n\n\n\nmongodb:\n  databses:\n    shop: {}\n"
SAID = "mngdb.yaml:7:3: unknown key 'databses' (did you mean 'databases'?)"


@pytest.mark.parametrize(
    "command",
    [["plan"], ["up"], ["status"], ["down"], ["destroy", "--yes", "mng"], ["config"], ["env", "a"],
     ["url", "postgres"], ["doctor", "a"], ["logs", "postgres"], ["secret", "set", "postgres_a"]],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_wrong_file_ends_every_command_with_2_and_makes_nothing(
    cli: Cli, command: list[str]
) -> None:
    (cli.folder / "mngdb.yaml").write_text(HOUSE)
    done = cli.run(*command, stdin="x" * 40)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == SAID + "\n"
    assert [path.name for path in cli.folder.iterdir()] == ["mngdb.yaml"]


@pytest.mark.parametrize("arguments", [["--json", "plan"], ["plan", "--json"]])
def test_an_error_is_json_on_stdout_when_asked_for(cli: Cli, arguments: list[str]) -> None:
    (cli.folder / "mngdb.yaml").write_text(HOUSE)
    done = cli.run(*arguments)
    assert done.returncode == 2
    assert json.loads(done.stdout) == {"error": {"message": SAID, "hint": None, "exit_code": 2}}
    assert SAID in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.yaml", "none.yaml: no such file"),
        (".", ".: cannot be read: Is a directory"),
        ("a" * 5000, "cannot be read: File name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence_and_exit_2(
    cli: Cli, name: str, said: str
) -> None:
    done = cli.run("-f", name, "plan")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_gone_is_to_be_restored_where_its_stack_is(cli: Cli) -> None:
    assert "'mngdb init'" in cli.run("doctor").stderr
    (cli.folder / ".mngdb").mkdir()
    (cli.folder / ".mngdb/shop").symlink_to("/nowhere")
    done = cli.run("doctor")
    assert done.returncode == 2
    assert "restore the file of the stack shop" in done.stderr
    assert "init" not in done.stderr


def test_several_files_are_merged_wherever_f_stands(cli: Cli) -> None:
    (cli.folder / "a.yaml").write_text("postgres: {port: 1111}\n")
    (cli.folder / "b.yaml").write_text("postgres: {port: 2222}\n")
    assert cli.json("-f", "a.yaml", "config", "-f", "b.yaml")["file"]["postgres"]["port"] == 2222
    assert cli.json("-f", "b.yaml", "-f", "a.yaml", "config")["file"]["postgres"]["port"] == 1111


@pytest.mark.parametrize("text", [DESIGN, LONG], ids=["design", "long"])
def test_config_prints_a_file_that_means_the_same(cli: Cli, text: str) -> None:
    # the servers' programs are looked for, and tests' Redis may be a build without TLS
    text = re.sub("binaries: .*\n", "", text).replace("\ntls: true", "\ntls: false")
    (cli.folder / "mngdb.yaml").write_text(text)
    printed = cli.ok("config")
    before, after = stack(text), stack(printed)
    assert after.apps == before.apps
    assert {n: (i.memory, i.tls, i.target.kind) for n, i in after.instances.items()} == {
        n: (i.memory, i.tls, i.target.kind) for n, i in before.instances.items()
    }
    for name, instance in before.instances.items():
        kept = {"memory", "tls", "target"}
        again = after.instances[name].spec.model_dump(exclude=kept)
        assert again == instance.spec.model_dump(exclude=kept)
    assert after.source.target == before.source.target
    assert after.source.vault == before.source.vault
    (cli.folder / "again.yaml").write_text(printed)
    assert parse(cli.ok("-f", "again.yaml", "config"), "f", {}).data == parse(printed, "f", {}).data
    assert sorted(path.name for path in cli.folder.iterdir()) == ["again.yaml", "mngdb.yaml"]


def test_config_shows_every_default(cli: Cli) -> None:
    (cli.folder / "mngdb.yaml").write_text(
        "postgres:\nredis:\nmongodb:\napps: {a: {postgres: x, redis: y, mongodb: z}}\nbackup: {}\n"
    )
    file = cli.json("config")["file"]
    found = stack((cli.folder / "mngdb.yaml").read_text())
    for name, instance in found.instances.items():
        unset = {key for key, value in instance.spec if value is None} - {"memory", "tls", "target"}
        assert set(file[name]) == set(type(instance.spec).model_fields) - {"engine"} - unset
    for name, grant in found.apps["a"].items():
        unset = {key for key, value in grant if value is None}
        assert set(file["apps"]["a"][name]) == set(type(grant).model_fields) - unset
    assert file["backup"]["keep"] == {
        "daily": 7, "weekly": 4, "monthly": 12, "point_in_time": "1d",
    }  # fmt: skip


def test_a_terminal_that_lacks_a_letter_gets_it_spelt(cli: Cli) -> None:
    environ = {**cli.environ(), "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        cli.argv("init", "--help"), env=environ, capture_output=True, check=False, cwd=cli.folder
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2026" in done.stdout


def test_schema_is_printed_whole(cli: Cli) -> None:
    Draft202012Validator.check_schema(json.loads(cli.ok("schema")))


ENGINES = ["postgres", "redis", "mongodb"]


@pytest.mark.parametrize("apps", [[], ["shop"], ["chat-app", "null", "true", "a_1"]])
@pytest.mark.parametrize(
    "engines", [list(c) for n in (1, 2, 3) for c in itertools.combinations(ENGINES, n)], ids=str
)
def test_init_writes_a_file_that_loads(cli: Cli, engines: list[str], apps: list[str]) -> None:
    options = [word for app in apps for word in ("--app", app)]
    assert "next: mngdb up" in cli.ok("init", "--with", ",".join(engines), *options)
    found = stack((cli.folder / "mngdb.yaml").read_text())
    assert list(found.instances) == engines
    assert list(found.apps) == apps
    assert all(list(rights) == engines for rights in found.apps.values())


def test_init_never_writes_over_a_file(cli: Cli) -> None:
    (cli.folder / "mngdb.yaml").write_text("mine")
    done = cli.run("init")
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert (cli.folder / "mngdb.yaml").read_text() == "mine"
    (cli.folder / "link.yaml").symlink_to("nowhere.yaml")
    assert cli.run("-f", "link.yaml", "init").returncode == 2
    assert not (cli.folder / "nowhere.yaml").exists()


def test_init_takes_the_target(cli: Cli) -> None:
    cli.ok("init", "--target", "compose", "--with", "mongodb,redis", "--app", "shop")
    text = (cli.folder / "mngdb.yaml").read_text()
    assert {one.target.kind for one in stack(text).instances.values()} == {"compose"}
    assert "outdated" not in text, "the image is not pip's"


@pytest.mark.parametrize("name", ["team-a", "null", "true"])
def test_init_takes_the_stacks_name(cli: Cli, name: str) -> None:
    assert "next: mngdb -f x.yaml up" in cli.ok("init", "--name", name, "-f", "x.yaml")
    assert stack((cli.folder / "x.yaml").read_text()).name == name


@pytest.mark.parametrize(
    "arguments",
    [
        ["--name", "x\ntls: true"],
        ["--name", "X"],
        ["--name", ""],
        ["--app", "admin"],
        ["--app", "a: {}\nb"],
        ["--app", "x #"],
        ["--app", "a" * 64],
        ["--with", "oracle"],
        ["--with", ""],
        ["--app", "a,"],
        ["--from", ""],
    ],
    ids=str,
)
def test_init_refuses_a_bad_name_and_writes_nothing(cli: Cli, arguments: list[str]) -> None:
    done = cli.run("init", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert list(cli.folder.iterdir()) == []


def test_an_app_given_twice_to_init_stands_once(cli: Cli) -> None:
    cli.ok("init", "--app", "a, b", "--app", "a")
    assert list(stack((cli.folder / "mngdb.yaml").read_text()).apps) == ["a", "b"]
