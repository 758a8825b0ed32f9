"""How a command ends that is interrupted, that cannot write, or whose locale knows no letters."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest

from mngdb.cli.main import main
from tests.conftest import Cli

FILE = "redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\n"


def interrupted(cli: Cli, folder: Path, module: str, *words: str) -> str:
    """What a command says that gets a Ctrl-C while it imports a module."""
    folder.joinpath(f"{module}.py").write_text(
        "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = Cli(cli.folder, {"PYTHONPATH": str(folder)}).run(*words)
    assert done.returncode == 130
    return done.stderr


# before the command line is read, and while the command works
@pytest.mark.parametrize("module", ["click", "pydantic"])
def test_an_interrupted_command_says_so_in_one_line(
    cli: Cli, tmp_path_factory: pytest.TempPathFactory, module: str
) -> None:
    cli.write(FILE)
    said = interrupted(cli, tmp_path_factory.mktemp("path"), module, "status")
    assert said.split() == ["error:", "interrupted"]


@pytest.mark.parametrize("command", ["up", "down", "restart", "enable"])
def test_one_that_changes_things_says_what_became_of_them(
    cli: Cli, tmp_path_factory: pytest.TempPathFactory, command: str
) -> None:
    cli.write(FILE)
    said = interrupted(cli, tmp_path_factory.mktemp("path"), "pydantic", command)
    assert "interrupted; completed steps are kept" in said


@pytest.mark.parametrize("words", [("config",), ("--json", "config"), ("--json", "env", "none")])
def test_output_that_cannot_be_written_is_an_error(cli: Cli, words: tuple[str, ...]) -> None:
    cli.write(FILE)
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            cli.argv(*words), cwd=cli.folder, env=cli.environ(), stdout=full, stderr=-1, text=True
        )
    assert done.returncode in {1, 2}
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_progress_that_cannot_be_written_stops_no_work(cli: Cli) -> None:
    cli.write(FILE)
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            cli.argv("plan", "--json"), cwd=cli.folder, env=cli.environ(), stdout=-1, stderr=full
        )
    assert json.loads(done.stdout)["steps"] != []


def test_names_with_any_letter_in_a_locale_without_them(cli: Cli) -> None:
    cli.folder = cli.folder / "한국"
    cli.folder.mkdir()
    cli.write(FILE + "vault: {path: 비밀}\n")
    cli.env |= {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    details = [step["detail"] for step in cli.json("plan")["steps"]]
    assert [text for text in details if "한국/비밀" in text] != []


def test_a_name_that_is_nearly_an_apps_is_told_as_such(cli: Cli) -> None:
    cli.write(FILE)
    for words in (("url", "redis", "shpo"), ("env", "shpo"), ("shell", "redis", "--app", "shpo")):
        done = cli.run(*words)
        assert done.returncode == 2
        assert "no app named 'shpo' (did you mean 'shop'?)" in done.stderr
    assert "(did you mean 'redis'?)" in cli.run("url", "rediss").stderr


def test_before_the_first_up_no_command_names_a_folder_that_will_never_exist(cli: Cli) -> None:
    cli.write(FILE)
    home = cli.environ()["MNGDB_STATE_HOME"]
    for words in (("plan",), ("env", "shop"), ("url", "redis"), ("status",), ("sessions",)):
        done = cli.run("--json", *words)
        assert home not in done.stdout + done.stderr


def test_restart_does_not_start_a_stack_that_never_was(cli: Cli) -> None:
    cli.write(FILE)
    done = cli.run("restart")
    assert done.returncode == 2
    assert "mngdb up" in done.stderr
    assert [path.name for path in cli.folder.iterdir()] == ["mngdb.yaml"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("secret", "rotate", "shop"), "mngdb rotate APP"),
        (("secret", "push"), "mngdb secrets push --to VAULT"),
        (("secrets", "set", "redis_shop"), "mngdb secret set NAME"),
        (("secrets", "rotate", "shop"), "mngdb rotate shop"),
        (("rotate", "redis"), "mngdb rotate --all --instance redis"),
        (("rotate", "all"), "mngdb rotate --all"),
        (("rotate", "shpo"), "apps in the file: shop"),
    ],
)
def test_a_word_that_belongs_elsewhere_is_told_with_its_command(
    words: tuple[str, ...], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "mngdb.yaml").write_text(FILE.replace("PORT1", "6390"))
    monkeypatch.chdir(tmp_path)
    assert main([*words]) == 2
    assert hint in capsys.readouterr().err.splitlines()[-1]


def test_nothing_that_is_due_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mngdb.yaml").write_text(FILE.replace("PORT1", "6390"))
    monkeypatch.chdir(tmp_path)
    assert main(["rotate", "--due"]) == 0
    assert capsys.readouterr().out == "nothing is due\n"


def test_what_up_does_with_a_secret_is_said_of_those_of_servers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mngdb.yaml").write_text("mongodb: {target: {atlas: {region: ap-northeast-2}}}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNGDB_STATE_HOME", str(tmp_path / "state"))
    said = {}
    for name in ("mongodb_admin", "atlas_client-id"):
        monkeypatch.setattr("sys.stdin", io.StringIO("mdb_sa_id_0123456789"))
        assert main(["secret", "set", name]) == 0
        said[name] = "".join(capsys.readouterr())
    assert "sets it on the server" in said["mongodb_admin"]
    assert "it has 20 characters" in said["mongodb_admin"]
    assert "server" not in said["atlas_client-id"]
    assert "characters" not in said["atlas_client-id"]
