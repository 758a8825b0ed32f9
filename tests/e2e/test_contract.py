"""The command line's contract: what other programs may rely on."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import dotenv
import pytest

import mngdb
from tests.conftest import Cli

pytestmark = pytest.mark.live
FILE = """
redis: {port: PORT1}
apps: {idle: {}, chat-app: {redis: "chat:*"}}
"""


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    """A Redis that runs; the tests only look."""
    module_cli.write(FILE)
    module_cli.ok("up")
    return module_cli


@pytest.mark.parametrize(
    "arguments",
    [
        ["-f", "mngdb.yaml", "--json", "status"],
        ["status", "-f", "mngdb.yaml", "--json"],
        ["--json", "status", "-f", "mngdb.yaml"],
        ["-f", "mngdb.yaml", "status", "--json"],
        ["status", "--json", "--file=mngdb.yaml"],
    ],
    ids=" ".join,
)
def test_file_and_json_are_taken_before_and_after_the_command(
    stack: Cli, arguments: list[str]
) -> None:
    document = json.loads(stack.ok(*arguments))
    assert document["stack"] == "mng"
    keys = {"name", "instance", "engine", "state", "healthy", "version", "host", "port"}
    assert keys <= set(document["units"][0])
    assert document["units"][0]["port"] == stack.port(1)


@pytest.mark.parametrize("group", ["secret", "secrets", "render"])
def test_groups_take_them_too_and_alone_show_their_help(stack: Cli, group: str) -> None:
    done = stack.run(group, "--json", "-f", "mngdb.yaml", "nope")
    assert (done.returncode, json.loads(done.stdout)["error"]["exit_code"]) == (2, 2)
    assert "'nope'" in done.stderr
    done = stack.run(group)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Usage: mngdb {group}")


def test_several_files_are_merged_in_order(stack: Cli) -> None:
    more = stack.folder / "more.yaml"
    more.write_text('apps: {other: {redis: "other:*"}}\n')
    steps = stack.json("-f", "mngdb.yaml", "plan", "-f", "more.yaml")["steps"]
    assert any("other" in step["object"] for step in steps)
    assert stack.run("plan", "-f", "mngdb.yaml", "--exit-code").returncode == 0


def test_plan_json_has_the_contracts_keys_and_exit_code_tells_steps(stack: Cli) -> None:
    unpatched = {"instance": "redis", "text": ANY, "hint": ANY}
    assert stack.json("plan", "--exit-code") in [
        {"stack": "mng", "steps": [], "remarks": notices} for notices in ([], [unpatched])
    ]
    kept = (stack.folder / "mngdb.yaml").read_text()
    try:
        stack.write(FILE.replace("chat:*", "talk:*"))
        found = stack.run("plan", "--exit-code", "--json")
        assert found.returncode == 4
        steps = json.loads(found.stdout)["steps"]
        assert steps
        for step in steps:
            keys = ["instance", "engine", "action", "object", "detail", "restart", "destructive"]
            assert list(step) in (keys, [*keys, "app"])
            assert isinstance(step["restart"], bool)
            assert isinstance(step["destructive"], bool)
        assert stack.run("plan").returncode == 0
    finally:
        (stack.folder / "mngdb.yaml").write_text(kept)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["satus"], "did you mean 'status'"),
        (["psql"], "did you mean 'shell'"),
        (["redis-cli"], "did you mean 'shell'"),
        (["init", "--with", "postgres,mongo"], "did you mean 'mongodb'"),
        (["frobnicate"], "no such command 'frobnicate'"),
        (["status", "--nope"], "--nope"),
        (["url"], "INSTANCE"),
        (["url", "chat-app", "redis"], "mngdb url redis chat-app"),
        (["shell", "chat-app"], "'chat-app' is the name of an app"),
        (["secrets", "compare"], "no such command 'compare'"),
        (["locks", "kil"], "did you mean 'kill'"),
        (["env"], "mngdb env APP"),
        (["env", "--app", "chat-app"], "mngdb env APP"),
        (["doctor", "--app", "chat-app"], "mngdb doctor [APP]"),
        (["logs", "--instance", "redis"], "mngdb logs [INSTANCE]"),
        (["url", "rediss"], "no instance named 'rediss'"),
        (["url", "redis", "nobody"], "chat-app"),
        (["env", "nobody"], "no app named 'nobody'"),
        (["logs", "postgres"], "no instance named 'postgres'"),
        (["-f", "missing.yaml", "plan"], "missing.yaml"),
        (["destroy", "--yes", "other"], "named 'mng', not 'other'; nothing was removed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_exits_2_with_a_hint_on_standard_error(
    stack: Cli, arguments: list[str], said: str
) -> None:
    done = stack.run(*arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert stack.json("status")["units"][0]["healthy"]


def test_an_error_with_json_is_one_document_with_message_hint_and_code(stack: Cli) -> None:
    done = stack.run("url", "nope", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["exit_code"]) == (2, 2)
    assert error["message"] == "no instance named 'nope'"
    assert error["hint"] == "instances in the file: redis"


def test_results_go_to_standard_output_and_progress_to_standard_error(stack: Cli) -> None:
    done = stack.run("up")
    assert done.returncode == 0
    assert done.stdout.startswith("UNIT ")
    assert "nothing to change" in done.stderr
    assert "nothing to change" not in done.stdout
    assert done.stderr.endswith("next: mngdb env chat-app\n")
    assert json.loads(stack.run("up", "--json").stdout)["steps"] == []


def test_url_is_one_line_with_and_without_an_app(stack: Cli) -> None:
    for arguments in (["url", "redis"], ["url", "redis", "chat-app"]):
        out = stack.ok(*arguments)
        assert out.endswith("\n")
        assert out.count("\n") == 1
        assert re.match(r"rediss?://[^:]+:[^@]+@127\.0\.0\.1:\d+", out)


def test_env_is_read_alike_by_a_shell_and_by_dotenv(stack: Cli) -> None:
    text = stack.ok("env", "chat-app")
    expected: dict[str, str] = stack.env_of("chat-app")
    assert expected["REDIS_URL"] == stack.ok("url", "redis", "chat-app").strip()
    assert dotenv.dotenv_values(stream=io.StringIO(text)) == expected
    path = stack.folder / "app.env"
    path.write_text(text)
    dumped = subprocess.run(
        ["/bin/sh", "-c", "set -a; . ./app.env; env -0"],
        cwd=stack.folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    shell = dict(item.split("=", 1) for item in dumped.split("\0") if item)
    assert {name: shell[name] for name in expected} == expected


def test_an_app_without_a_right_is_told_so(stack: Cli) -> None:
    for command in ("env", "doctor"):
        done = stack.run(command, "idle")
        assert (done.returncode, done.stdout) == (0, "")
        assert "the file grants idle no access" in done.stderr


def test_version_and_help_are_said_without_a_file(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    assert cli.ok("--version") == f"mngdb {mngdb.__version__}\n"
    text = cli.ok("--help")
    for command in ("plan", "up", "status", "down", "destroy", "url", "env", "doctor"):
        assert re.search(rf"^  {command} ", text, re.MULTILINE)
        assert "Usage: mngdb" in cli.ok(command, "--help")
    assert list(tmp_path.iterdir()) == []


def test_piped_output_has_no_colour_unasked(stack: Cli) -> None:
    env = {k: v for k, v in stack.environ().items() if k != "NO_COLOR"} | {"TERM": "xterm-256color"}
    for command in ("status", "plan", "up"):
        done = subprocess.run(stack.argv(command), cwd=stack.folder, env=env, capture_output=True)
        assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["schema", "config", "status"])
def test_a_reader_that_stops_early_causes_no_traceback(stack: Cli, command: str) -> None:
    process = subprocess.Popen(
        stack.argv(command),
        cwd=stack.folder,
        env=stack.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    process.wait(300)
    assert said == b""


def test_logs_shows_the_last_lines_and_follow_goes_on(stack: Cli) -> None:
    lines = stack.ok("logs", "redis", "-n", "3").splitlines()
    assert len(lines) == 3
    assert stack.json("logs", "redis", "-n", "3")["lines"] == lines
    assert stack.ok("logs", "redis", "-n", "0") == ""
    assert stack.run("logs", "redis", "--follow", "--json").returncode == 2
    log = stack.state / "servers" / "mng-redis" / "server.log"
    long = [f"{number} {'long ' * 500}end" for number in range(5)]
    with log.open("a") as handle:
        handle.writelines(f"{line}\n" for line in long)
    assert stack.ok("logs", "redis", "-n", "5").splitlines() == long
    process = subprocess.Popen(
        stack.argv("logs", "redis", "--follow", "-n", "2"),
        cwd=stack.folder,
        env=stack.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = threading.Event()

    def write() -> None:
        # all the time: nothing is lost between the last lines and those that come
        for number in itertools.count():
            with log.open("a") as handle:
                handle.write(f"line {number}\n")
            if seen.wait(0.01):
                return

    writer = threading.Thread(target=write)
    writer.start()
    assert process.stdout
    try:
        shown = [process.stdout.readline().rstrip() for _ in range(60)]
    finally:
        seen.set()
        writer.join()
    lines = [*long, *(f"line {number}" for number in range(10_000))]
    begin = lines.index(shown[0])
    assert shown == lines[begin : begin + 60]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (0, "")


def test_status_exits_1_when_something_does_not_run(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write(FILE)
    done = cli.run("status", "--json")
    assert done.returncode == 1
    unit: dict[str, Any] = json.loads(done.stdout)["units"][0]
    assert (unit["state"], unit["healthy"], unit["version"]) == ("absent", False, None)
    assert not (tmp_path / ".mngdb").exists(), "status changes nothing"
    assert cli.run("plan", "--exit-code").returncode == 4
    assert not (tmp_path / ".mngdb").exists(), "plan changes nothing"


def test_destroy_asks_for_the_name_and_removes_all_of_it(cli: Cli) -> None:
    cli.write(FILE)
    cli.ok("up")
    servers = (cli.state / "servers").resolve()
    refused = cli.run("destroy", stdin="wrong\n")
    assert refused.returncode == 2
    assert "removes every database, secret and log of the stack 'mng'" in refused.stderr
    assert cli.json("status")["units"][0]["healthy"]
    unnamed = cli.run("destroy", stdin="")
    assert (unnamed.returncode, unnamed.stdout) == (2, "")
    assert "nothing was removed" in unnamed.stderr
    assert "mngdb destroy --yes mng" in unnamed.stderr
    assert cli.json("status")["units"][0]["healthy"]
    cli.ok("destroy", stdin="mng\n")
    assert not (cli.state).exists()
    assert not servers.exists()
    assert cli.json("destroy", "--yes", "mng") == {"stack": "mng", "destroyed": True}
    assert cli.ok("destroy") == "nothing to remove: mng does not exist here\n"
    assert cli.ok("down") == "nothing is running\n"
