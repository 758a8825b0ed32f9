"""A report goes into the file that is named, and nowhere else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Cli

FILE = "redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\n"
CHECK = ("check", "--only", "host.*", "--format", "json", "--output")


def socket_at(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


KINDS = {
    "a symbolic link": lambda path: path.symlink_to(path.with_name("victim")),
    "a named pipe": lambda path: os.mkfifo(path),
    "a socket": socket_at,
    "a directory": lambda path: path.mkdir(),
}


@pytest.fixture
def project(cli: Cli) -> Cli:
    cli.write(FILE)
    (cli.folder / "victim").write_text("as it was")
    return cli


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_not_written_through_what_is_no_file(project: Cli, kind: str) -> None:
    KINDS[kind](project.folder / "out")
    for command in ((*CHECK, "out"), ("env", "example", "--force", "--output", "out")):
        refused = project.run(*command, timeout=30)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"error: out is {kind}, not a regular file")
    assert (project.folder / "victim").read_text() == "as it was"


@pytest.mark.parametrize("command", ["prometheus", "grafana", "runbooks"])
def test_rendered_files_are_not_written_through_links(project: Cli, command: str) -> None:
    project.ok("render", command, "--output", "made")
    made = sorted(path for path in (project.folder / "made").rglob("*") if path.is_file())
    victim = project.folder / "victim"
    for path in made:
        kept = path.read_bytes()
        path.unlink()
        path.symlink_to(victim)
        refused = project.run("render", command, "--output", "made", timeout=30)
        assert refused.returncode == 2
        assert "is a symbolic link" in refused.stderr
        path.unlink()
        os.mkfifo(path)
        refused = project.run("render", command, "--output", "made", timeout=30)
        assert "is a named pipe" in refused.stderr
        path.unlink()
        path.write_bytes(kept)
    assert victim.read_text() == "as it was"
    for folder in {path.parent for path in made} - {project.folder / "made"}:
        folder.rename(project.folder / "elsewhere")
        folder.symlink_to(project.folder / "elsewhere")
        refused = project.run("render", command, "--output", "made")
        assert refused.returncode == 2
        assert "points outside of made" in refused.stderr
        folder.unlink()
        (project.folder / "elsewhere").rename(folder)


def test_a_report_is_replaced_whole(project: Cli) -> None:
    out = project.folder / "out"
    out.write_text("old")
    linked = project.folder / "hard link to the old"
    linked.hardlink_to(out)
    project.run(*CHECK, "out")
    assert json.loads(out.read_text())["findings"]
    assert linked.read_text() == "old"
    refused = project.run(*CHECK, "missing/out")
    assert (refused.returncode, "no directory missing" in refused.stderr) == (2, True)


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_a_report_goes_to_standard_output(project: Cli, name: str) -> None:
    done = project.run(*CHECK, name)
    assert json.loads(done.stdout)["findings"]


def test_a_report_goes_into_what_the_shell_made(project: Cli) -> None:
    words = " ".join(f"'{word}'" for word in project.argv(*CHECK))
    done = subprocess.run(
        ["bash", "-c", f"{words} >(cat > out.json; echo whole > end) ; wait $!; cat out.json"],
        cwd=project.folder,
        env=project.environ(),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["findings"], done.stderr


def test_files_that_a_person_names_do_not_keep_anybody_waiting(project: Cli) -> None:
    os.mkfifo(project.folder / "pipe")
    for command in (
        ("-f", "pipe", "status"),
        ("env", "check", "pipe"),
        ("check", "--baseline", "pipe"),
    ):
        refused = project.run(*command, timeout=20)
        assert refused.returncode == 2
        assert "pipe is a named pipe, not a regular file" in refused.stderr


def test_a_file_may_come_from_the_shell(project: Cli) -> None:
    words = " ".join(f"'{word}'" for word in project.argv("-f"))
    done = subprocess.run(
        ["bash", "-c", f"{words} <(cat mngdb.yaml) config"],
        cwd=project.folder,
        env=project.environ(),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert "shop" in done.stdout, done.stderr
