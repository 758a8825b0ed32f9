"""What hands type: words of other tools, from a subfolder, with another ending."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mngdb.cli.commands import COMMANDS, SECTIONS, SYNONYMS
from tests.conftest import Cli

FILE = "name: mng\nredis: {port: PORT1}\napps: {shop: {redis: 's:*'}}\n"


def test_every_command_stands_in_one_group_of_the_help(cli: Cli) -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(COMMANDS)
    said = cli.ok("--help")
    assert all(f"{title}:\n" in said for title in SECTIONS)
    assert {command.split()[0] for command in SYNONYMS.values()} <= set(COMMANDS)
    assert not set(SYNONYMS) & set(COMMANDS)


def test_words_of_other_tools(cli: Cli) -> None:
    done = cli.run("stop")
    assert (done.returncode, "did you mean 'down'?" in done.stderr) == (2, True)
    assert "did you mean 'status'?" in cli.run("ps").stderr
    assert cli.ok("help", "up") == cli.ok("up", "--help")
    assert cli.ok("help") == cli.ok("--help")
    assert cli.ok("version") == cli.ok("--version")


def test_the_file_is_found_above_and_by_its_other_ending(cli: Cli, tmp_path: Path) -> None:
    cli.write(FILE)
    (cli.folder / "mngdb.yaml").rename(cli.folder / "mngdb.yml")
    assert '"mng"' in cli.ok("--json", "plan")
    below = cli.folder / "api" / "src"
    below.mkdir(parents=True)
    one = Cli(below)
    done = one.run("--json", "plan")
    assert (done.returncode, '"mng"' in done.stdout) == (0, True)
    assert f"note: the file is {cli.folder}/mngdb.yml\n" in done.stderr
    if os.getuid() == 0:
        os.chown(cli.folder / "mngdb.yml", 12345, -1)
        done = one.run("plan")
        assert (done.returncode, "no such file" in done.stderr) == (2, True)
        os.chown(cli.folder / "mngdb.yml", 0, -1)
        (cli.folder / "mngdb.yml").rename(tmp_path / "real.yml")
        (cli.folder / "mngdb.yml").symlink_to(tmp_path / "real.yml")
        assert "no such file" in one.run("plan").stderr


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colours(cli: Cli, variable: tuple[str, str]) -> None:
    import pexpect

    cli.write(FILE)
    for extra, coloured in (({}, True), (dict([variable]), False)):
        env = {**cli.environ(), "TERM": "xterm", **extra}
        if coloured:
            env.pop("NO_COLOR", None)
        words = cli.argv("stop")
        child = pexpect.spawn(words[0], words[1:], cwd=str(cli.folder), env=env, encoding="utf-8")
        child.expect(pexpect.EOF)
        assert ("\x1b[" in child.before) == coloured
        child.close()


@pytest.mark.live
def test_logs_of_all_and_a_port_that_another_stack_has(cli: Cli, tmp_path: Path) -> None:
    cli.write(FILE)
    cli.ok("up")
    assert any(line.startswith("mng-redis  ") for line in cli.ok("logs").splitlines())
    assert set(cli.json("logs")["logs"]) == {"mng-redis"}
    other = Cli(tmp_path / "other")
    other.folder.mkdir(exist_ok=True)
    other.write(f"name: second\nagent: false\nredis: {{port: {cli.port(1)}}}\n")
    done = other.run("up")
    assert done.returncode == 1
    assert "of the mngdb stack mng" in done.stderr
    assert " is free" in done.stderr


@pytest.mark.live
def test_a_server_is_called_by_its_instance_or_unit(cli: Cli) -> None:
    cli.write(
        "instances: {queue: {engine: redis, port: PORT1}, cache: {engine: redis, port: PORT2}}\n"
    )
    cli.ok("up")
    for name in ("queue", "mng-queue"):
        shown = cli.ok("status", name)
        assert "mng-queue" in shown
        assert "mng-cache" not in shown
    assert [unit["name"] for unit in cli.json("status", "cache")["units"]] == ["mng-cache"]
    assert len(cli.ok("logs", "queue", "--tail", "2").splitlines()) == 2
    cli.ok("down", "queue")
    assert cli.run("status", "queue").returncode == 1
    assert cli.run("status", "cache").returncode == 0
    done = cli.run("status", "cash")
    assert (done.returncode, "did you mean 'cache'?" in done.stderr) == (2, True)


def test_a_unit_is_called_without_its_stack(cli: Cli) -> None:
    cli.write("postgres: {port: PORT1}\nmongodb: {port: PORT2}\n")
    for word, name in (("pg", "postgres"), ("mongo", "mongodb"), ("mng-mongo", "mongodb")):
        assert "was never started" in cli.run("restart", word).stderr, name
        assert f"no log of {name}" not in cli.run("logs", word).stderr
    assert "no instance named 'mongodbb'" in cli.run("logs", "mongodbb").stderr
