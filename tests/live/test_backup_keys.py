"""A planned change of the key: the agent goes on with the other one by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mngdb.stores.sealing import make_key, recipient
from tests.conftest import Cli
from tests.live.scrapes import quick_agent, until

pytestmark = pytest.mark.live

FILE = """
agent: {ports: {mngdb: PORT3, postgres: PORT4, redis: PORT5}}
postgres: {port: PORT1, memory: 128 MB}
redis: {port: PORT2, memory: 64 MB}
apps: {shop: {postgres: shop, redis: "shop:*"}}
backup: {store: STORE, at: "00:00", drill: {every: 365d}MORE}
"""


def states(cli: Cli) -> dict[str, list[str]]:
    """What the snapshots of each instance are, the oldest first, where the log leads on from the
    newest."""
    found: list[Any] = cli.json("backups")["instances"]
    return {
        one["instance"]: [snapshot["state"] for snapshot in one["snapshots"]]
        for one in found
        if any(span["from"] < span["to"] for span in one["reachable"])
    }


def not_to_wait(cli: Cli) -> None:
    """Let the agent take the next snapshot at once, though it has just taken one."""
    for run in (cli.state / "backup-runs").iterdir():
        run.write_text(json.dumps(json.loads(run.read_text()) | {"before": 0}))


def test_the_agent_takes_a_snapshot_with_the_other_key(cli: Cli, tmp_path: Path) -> None:
    text = FILE.replace("STORE", str(tmp_path / "store"))
    cli.write(text.replace("MORE", ""))
    cli.ok("up")
    with quick_agent(cli):
        changed(cli, text, ("postgres", "redis"))
        damaged(cli, tmp_path / "store")


def changed(cli: Cli, text: str, names: tuple[str, str]) -> None:
    """The key of the vault, then the recipients of the file."""

    def all_are(*wanted: str) -> bool:
        return states(cli) == {name: [*wanted] for name in names}

    until(lambda: all_are("complete"), 60)
    not_to_wait(cli)
    cli.ok("secret", "set", "backup_key", stdin=make_key().reveal())
    until(lambda: all_are("key missing", "complete"), 90)
    for name in names:
        cli.ok("restore", name, "--latest")
    cli.ok("restore", "--forget")
    key = make_key()
    not_to_wait(cli)
    cli.write(text.replace("MORE", f", recipients: [{recipient(key)}]"))  # and no 'up'
    until(lambda: all_are("key missing", "complete", "key missing"), 90)
    cli.ok("secret", "set", "backup_key", stdin=key.reveal())
    until(lambda: all_are("key missing", "key missing", "complete"), 60)
    for name in names:
        cli.ok("restore", name, "--latest")
    cli.ok("restore", "--forget")


def damaged(cli: Cli, store: Path) -> None:
    """The newest snapshot of Redis: verify finds it, and the agent makes up for it."""

    def run() -> Any:
        return json.loads((cli.state / "backup-runs" / "redis").read_text())

    last = run()["snapshot"]
    next(store.rglob(f"{last}/*.age")).unlink()
    assert cli.run("verify").returncode == 1
    until(lambda: run()["snapshot"] != last, 60)
    found = json.loads(cli.run("--json", "status").stdout)["backups"]
    errors = {one["instance"]: one["error"] for one in found}
    assert errors["redis"] is None
