"""How a command ends that is interrupted, that cannot write, or whose locale knows no letters."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

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
