"""Secret files that are wrong, missing or changed: one sentence, exit 2, and a way back."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import logs_in

pytestmark = pytest.mark.live
GOOD = "Az-9_" * 8
#: No form of quotes holds it in a shell and in every dotenv reader.
QUOTES = 'it\'s-"both"-' + GOOD


@pytest.fixture(scope="module")
def stack(module_cli: Cli) -> Cli:
    """A Redis that runs; each test leaves the app's secret good and the plan empty."""
    module_cli.write(faults.REDIS)
    module_cli.ok("up")
    return module_cli


def secret(cli: Cli) -> Path:
    """The file of the app's secret."""
    return cli.state / "secrets" / "redis_shop"


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def _link(path: Path) -> None:
    (path.parent / "elsewhere").unlink(missing_ok=True)
    path.symlink_to(path.parent / "elsewhere")
    put(path.parent / "elsewhere", GOOD.encode(), 0o644)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (lambda p: put(p, b""), "is empty"),
    "only a line end": (lambda p: put(p, b"\n"), "is empty"),
    "space inside": (lambda p: put(p, b"two words-9A"), "has characters that are not safe"),
    "two lines": (lambda p: put(p, b"one\ntwo\n"), "has characters that are not safe"),
    "two line ends": (lambda p: put(p, b"one\n\n"), "has characters that are not safe"),
    "a tab": (lambda p: put(p, b"one\ttwo"), "has characters that are not safe"),
    "a zero byte": (lambda p: put(p, b"one\0two"), "has characters that are not safe"),
    "Korean": (lambda p: put(p, "비밀번호".encode()), "has characters that are not safe"),
    "no UTF-8": (lambda p: put(p, b"\xff\xfe123"), "has characters that are not safe"),
    "a byte order mark": (lambda p: put(p, b"\xef\xbb\xbfabc"), "has characters that are not safe"),
    "far too long": (lambda p: put(p, b"x" * 5000), "is larger than 4096 bytes"),
    "world-readable": (lambda p: put(p, GOOD.encode(), 0o644), "is readable by others"),
    "group-readable": (lambda p: put(p, GOOD.encode(), 0o640), "is readable by others"),
    "a folder": (lambda p: p.mkdir(mode=0o700), "is not a regular file"),
    "a pipe": (lambda p: os.mkfifo(p, 0o600), "is not a regular file"),
    "a link to a readable file": (_link, "is readable by others"),
    "a link in a circle": (lambda p: p.symlink_to(p), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_secret_file_is_refused_by_name_and_changes_nothing(stack: Cli, name: str) -> None:
    path = secret(stack)
    kept = path.read_text()
    server = faults.pid(stack, "mng-redis")
    make, sentence = BAD[name]
    path.unlink()
    try:
        make(path)
        for command in (["up"], ["plan"], ["env", "shop"], ["url", "redis", "shop"]):
            refused = stack.run(*command, timeout=100)
            assert refused.returncode == 2, (command, refused.stderr)
            assert sentence in refused.stderr
            assert str(path) in refused.stderr
            assert "hint: " in refused.stderr or "larger" in refused.stderr
            assert "Traceback" not in refused.stderr
            # what the server has is told all the same, and nothing of it changes
            assert command[0] in {"plan", "up"} or refused.stdout == ""
    finally:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        put(path, kept.encode())
    assert faults.pid(stack, "mng-redis") == server
    assert stack.run("plan", "--exit-code").returncode == 0


def test_a_secret_that_env_cannot_print_is_refused_before_it_is_on_the_server(stack: Cli) -> None:
    path, before = secret(stack), stack.env_of("shop")["REDIS_URL"]
    kept = path.read_text()
    put(path, QUOTES.encode())
    try:
        for command in ("plan", "up"):
            refused = stack.run(command)
            assert refused.returncode == 2
            assert str(path) in refused.stderr
            assert "without single quotes" in refused.stderr
            assert QUOTES not in refused.stderr
        assert logs_in(before)
    finally:
        put(path, kept.encode())


def test_an_administrators_secret_may_have_any_quotes(stack: Cli) -> None:
    """No app is given it: on an external server it is what its operator chose."""
    admin = stack.state / "secrets" / "redis_admin"
    kept = admin.read_text()
    stack.ok("secret", "set", "redis_admin", stdin=QUOTES)
    try:
        stack.ok("up")
    finally:
        put(admin, kept.encode())
    stack.ok("up")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_line_end_after_the_secret_is_not_part_of_it(stack: Cli, end: bytes) -> None:
    path = secret(stack)
    put(path, path.read_text().strip().encode() + end)
    assert stack.run("plan", "--exit-code").returncode == 0
    stack.ok("doctor", "shop")
    assert "\r" not in stack.ok("url", "redis", "shop")


def test_a_link_to_a_private_file_is_followed(stack: Cli) -> None:
    path = secret(stack)
    kept = path.read_text()
    target = path.parent / "mounted"
    put(target, kept.encode())
    path.unlink()
    path.symlink_to(target)
    try:
        assert stack.run("plan", "--exit-code").returncode == 0
        stack.ok("doctor", "shop")
    finally:
        path.unlink()
        put(path, kept.encode())
        target.unlink()


def test_a_changed_secret_is_brought_to_the_server_and_the_old_one_ends(stack: Cli) -> None:
    old = stack.ok("url", "redis", "shop").strip()
    put(secret(stack), GOOD.encode())
    assert stack.run("doctor", "shop").returncode == 1
    assert stack.run("plan", "--exit-code").returncode == 4
    stack.ok("up")
    stack.ok("doctor", "shop")
    with (
        redis.Redis.from_url(old, socket_timeout=60) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    assert stack.run("plan", "--exit-code").returncode == 0


def test_a_missing_secret_of_a_running_server_is_made_anew_and_brought_to_it(cli: Cli) -> None:
    cli.write(faults.STACK)
    cli.ok("up")
    data = faults.Data(cli)
    data.write("kept")
    old = cli.env_of("shop")
    for path in (cli.state / "secrets").glob("*_*"):
        path.unlink()
    assert cli.run("url", "redis", "shop").returncode == 2
    steps = [step["object"] for step in cli.json("plan")["steps"]]
    assert {"secret postgres_shop", "secret redis_admin", "secret mongodb_keyfile"} <= set(steps)
    cli.ok("up")
    faults.sound(cli, {"mng-pg", "mng-redis", "mng-mongo"})
    new = cli.env_of("shop")
    assert all(new[n] != old[n] for n in ("POSTGRES_URL", "REDIS_URL", "MONGO_URI"))
    assert data.read() == [["kept"]] * 3


def test_the_environ_vault_names_every_variable_and_keeps_nothing_on_disk(cli: Cli) -> None:
    cli.write("vault: environ\n" + faults.REDIS)
    for command in ("plan", "up"):
        refused = cli.run(command)
        assert refused.returncode == 2
        every = "the variables MNGDB_SECRET_REDIS_ADMIN, MNGDB_SECRET_REDIS_SHOP are not set"
        assert every in refused.stderr
    assert not (cli.state).exists()
    assert "set it there, or use 'vault: files'" in cli.run("env", "shop").stderr
    cli.env["MNGDB_SECRET_REDIS_ADMIN"] = GOOD
    assert "the variable MNGDB_SECRET_REDIS_SHOP is not set" in cli.run("up").stderr
    cli.env["MNGDB_SECRET_REDIS_SHOP"] = ""
    empty = cli.run("up")
    assert (empty.returncode, "MNGDB_SECRET_REDIS_SHOP is empty" in empty.stderr) == (2, True)
    # the first 'up', too, makes all but that app's login
    assert [one["healthy"] for one in json.loads(cli.run("--json", "status").stdout)["units"]] == [
        True
    ]
    cli.env["MNGDB_SECRET_REDIS_SHOP"] = QUOTES
    unprintable = cli.run("plan")
    assert (unprintable.returncode, "MNGDB_SECRET_REDIS_SHOP)" in unprintable.stderr) == (2, True)
    cli.env["MNGDB_SECRET_REDIS_SHOP"] = GOOD[::-1]
    cli.ok("up")
    cli.ok("doctor", "shop")
    assert not (cli.state / "secrets").exists()
    found = subprocess.run(["grep", "-rlF", GOOD, str(cli.folder), str(faults.servers(cli))])
    assert found.returncode == 1, "the administrator's secret is in a file"
    environ = Path(f"/proc/{faults.pid(cli, 'mng-redis')}/environ").read_bytes()
    assert GOOD.encode() not in environ


def test_secret_set_takes_a_secret_from_standard_input_and_refuses_a_bad_one(stack: Cli) -> None:
    refused = stack.run("secret", "set", "redis_shop", stdin="two words")
    assert refused.returncode == 2
    assert "two words" not in refused.stderr
    kept = secret(stack).read_text()
    long = stack.run("secret", "set", "redis_shop", stdin="x" * 4097)
    assert (long.returncode, secret(stack).read_text()) == (2, kept)
    assert "is larger than 4096 characters" in long.stderr
    unknown = stack.run("secret", "set", "redis_nobody", stdin=GOOD)
    assert unknown.returncode == 2
    assert "redis_shop" in unknown.stderr
    quotes = stack.run("secret", "set", "redis_shop", stdin=QUOTES)
    assert (quotes.returncode, secret(stack).read_text()) == (2, kept)
    assert "without single quotes" in quotes.stderr
    assert QUOTES not in quotes.stderr
    short = stack.run("secret", "set", "redis_shop", stdin=GOOD[:31])
    assert (short.returncode, "31 characters" in short.stderr) == (0, True)
    good = stack.run("secret", "set", "redis_shop", stdin=GOOD[::-1] + "\n")
    assert (good.returncode, good.stderr) == (0, "")
    assert secret(stack).read_text() == GOOD[::-1]
    stack.ok("up")
    stack.ok("doctor", "shop")
