"""What commands of backups say to wrong input: one sentence, what helps, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from mngdb.cli.backup import Shown
from mngdb.events import Waiting
from tests.conftest import Cli
from tests.unit.backups import backed_up


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("verify",), "has not been created yet"),
        (("backup",), "has not been created yet"),
        (("backup", "kit", "--open", "nosuch"), "error: there is no kit nosuch"),
        (("drill", "--report", "report"), "does not end in .html"),
        (("backups", "nosuch"), "nosuch"),
    ],
)
def test_of_a_stack_that_is_not_there(cli: Cli, words: tuple[str, ...], said: str) -> None:
    cli.write("redis: {port: PORT1}\nbackup: {store: store}\n")
    done = cli.run(*words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "next: mngdb up" in cli.run("backups").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("restore", "redis", "--latest", "--table", "x"), "--table is not for Redis"),
        (("restore", "redis", "--to", "5m"), "did you mean '5m ago'"),
        (("backup", "kit"), "< FILE"),
        (("secret", "set", "backup_access_key_id"), "did you mean 'backup_access-key-id'"),
        (("secret", "set", "backup_key", "hunter2"), "history"),
    ],
)
def test_of_a_stack_with_a_snapshot(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    backed_up(cli, tmp_path / "store")
    done = cli.run(*words, stdin="")
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "hunter2" not in done.stderr


def test_half_a_login_keeps_no_stack_from_being_removed(cli: Cli, tmp_path: Path) -> None:
    backed_up(cli, tmp_path / "store")
    text = (cli.folder / "mngdb.yaml").read_text()
    cli.write(text.replace(str(tmp_path / "store"), "s3://bucket"))
    cli.ok("secret", "set", "backup_access-key-id", stdin="x" * 20)
    done = cli.run("backups")
    assert (done.returncode, "incomplete" in done.stderr) == (2, True), done.stderr
    assert "stay in s3://bucket" in cli.run("destroy", "--yes", "mng").stderr


def test_a_server_that_is_waited_for_is_told_of_when_it_is_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = Shown()
    for shown in (False, True, False):
        show(Waiting("mng-pg", "recovers", shown, "it recovers"))
    assert capsys.readouterr().err.splitlines() == ["mng-pg  recovers"]
