"""`--verbose` and MNGDB_LOG: what is run, asked and written is there, and no secret is."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pymongo
import pytest

from tests.conftest import Cli
from tests.live.clients import set_secret

pytestmark = pytest.mark.live

FILE = """\
name: mng
postgres: {version: 17, port: PORT1}
redis: {port: PORT2, memory: 64mb}
mongodb: {port: PORT3, outdated: true}
agent: {ports: {postgres: PORT4, redis: PORT5, mongodb: PORT6, mngdb: PORT7}}
apps:
  shop: {postgres: shop, redis: "shop:*", mongodb: shop}
"""
#: Characters that URLs, shells, JSON and SQL each write in a way of their own.
GIVEN = "given%/secret+by-hand:0123456789"


def secrets_of(stack: Cli) -> set[str]:
    return {path.read_text().strip() for path in (stack.state / "secrets").glob("*_*")}


def verifiers(stack: Cli) -> set[str]:
    """What the servers keep in place of passwords."""
    found = set()
    with psycopg.connect(stack.ok("url", "postgres").strip()) as connection:
        for (verifier,) in connection.execute("SELECT rolpassword FROM pg_authid").fetchall():
            found |= {verifier, *re.split("[$:]", verifier)[3:]} if verifier else set()
    with pymongo.MongoClient[dict[str, dict[str, dict[str, str]]]](
        stack.ok("url", "mongodb").strip()
    ) as client:
        for user in client.admin["system.users"].find():
            kept = user["credentials"]["SCRAM-SHA-256"]
            found |= {kept["salt"], kept["storedKey"], kept["serverKey"]}
    assert len(found) > 12
    return found


def encodings(value: str) -> Iterator[str]:
    raw = value.encode()
    yield from (value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1])
    yield from (value.replace("'", "''"), value.replace("\\", "\\\\").replace("'", "''"))
    yield raw.hex()
    for shift in range(3):
        # inside of a longer text, such as `user:password`
        yield base64.b64encode(b"x" * shift + raw).decode()[4 * (shift > 0) : -4]
    for kind in ("md5", "sha1", "sha256"):
        digest = hashlib.new(kind, raw)
        yield from (digest.hexdigest(), base64.b64encode(digest.digest()).decode())


def environment(stack: Cli, unit: str) -> bytes:
    pid = json.loads(stack.ok("--json", "status"))["units"]
    assert any(one["name"] == unit for one in pid)
    agent = (stack.state / "agent/agent.pid").read_text().split()[0]
    return Path(f"/proc/{agent}/environ").read_bytes()


def test_the_log_has_what_was_done_and_no_secret(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "mngdb.log"
    cli.write(FILE)
    cli.env["MNGDB_LOG"] = str(log)
    before = os.umask(0)
    try:
        cli.ok("up")
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert b"MNGDB_LOG" not in environment(cli, "mng-agent")
    first = log.read_text()
    needles = secrets_of(cli) | verifiers(cli)
    for name in ("postgres_shop", "redis_shop", "mongodb_shop", "mongodb_admin"):
        set_secret(cli, name, GIVEN + name)
    cli.ok("up")
    cli.run("check")
    cli.ok("doctor", "shop")
    cli.env_of("shop")
    needles |= secrets_of(cli) | verifiers(cli)
    state = str(cli.state)
    cli.ok("destroy", "--yes", "mng")
    text = log.read_text()

    assert text.startswith(first)  # appended
    wanted = {
        "mngdb.run": ["postgres", "redis-server", "mongod"],
        "mngdb.disk": [f"write {state}/", "bytes, mode 0600"],
        "mngdb.engines.postgres.client": ["CREATE ROLE", "PASSWORD '…'", "CREATE DATABASE"],
        "mngdb.engines.redis.wire": ["ACL SETUSER shop", "AUTH …", "PING"],
        "mngdb.engines.mongodb.client": ["createUser", "createRole"],
        "mngdb.dial": [f"connect to 127.0.0.1:{cli.port(2)}"],
    }
    for module, parts in wanted.items():
        lines = "\n".join(line for line in text.splitlines() if f" {module}: " in line)
        assert [part for part in parts if part not in lines] == [], module
        assert re.search(r"\(\d+\.\d ms\)", lines), module

    assert len(needles) > 25
    known = {form for value in needles for form in encodings(value) if len(form) > 7}
    assert [form for form in known if form in text] == []


def test_verbose_tells_people_and_leaves_the_result_alone(cli: Cli) -> None:
    cli.write("redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\n")
    quiet = cli.run("--json", "plan")
    loud = cli.run("--json", "plan", "-v")
    assert json.loads(loud.stdout).keys() == json.loads(quiet.stdout).keys()
    assert " mngdb.run: " not in quiet.stderr
    assert re.search(r"(?m)^mngdb plan: mngdb .* Python", loud.stderr)
    assert cli.run("-v", "plan", "-v").stderr.count("mngdb plan: mngdb ") == 1


@pytest.mark.parametrize("kind", ["a directory", "a link", "no directory"])
def test_a_log_that_cannot_be_written_is_told_before_anything(cli: Cli, kind: str) -> None:
    cli.write("redis: {port: PORT1}\n")
    path = cli.folder / "log"
    if kind == "a directory":
        path.mkdir()
    elif kind == "a link":
        path.symlink_to("/etc/hostname")
    else:
        path = path / "log"
    cli.env["MNGDB_LOG"] = str(path)
    done = cli.run("up")
    del cli.env["MNGDB_LOG"]
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert not (cli.folder / ".mngdb").exists()


def test_without_it_logging_is_not_even_imported() -> None:
    code = (
        "import sys; from mngdb.cli.main import main; main(['--help']); "
        "sys.exit('logging' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
