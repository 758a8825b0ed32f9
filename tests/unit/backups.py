"""A stack with a snapshot that no server gave."""

from __future__ import annotations

import time
from pathlib import Path

from mngdb.ops.backup import keys, place, schedule
from mngdb.ops.context import Context
from mngdb.snapshot import Point, Taken
from mngdb.stores.manifest import Manifest
from tests.checks.judge import opened
from tests.conftest import Cli


def backed_up(cli: Cli, store: Path) -> Context:
    """A stack with a snapshot there."""
    cli.write(f"redis: {{port: PORT1}}\nbackup: {{store: {store}}}\n")
    opened(cli).claim()
    found = opened(cli)
    snapshot(found)
    return found


def snapshot(context: Context, log: Point | None = None) -> Manifest:
    """Take one of its Redis, from which its log leads on at a point."""
    keys.claim(context)
    made = place.catalog(context).begin(keys.sealer(context), "redis", lambda *_: None)
    with made.stream("dump.rdb") as stream:
        stream.write(b"REDIS")
    now = time.time()
    found = Manifest(
        id=made.id,
        stack=context.located.record.id,
        stack_name=context.stack.name,
        instance="redis",
        engine="redis",
        tool="mngdb",
        started=now,
        finished=now,
        taken=Taken(kind="full", product="Redis", version="8.2.3", source="", position={}, log=log),
        recipients=made.recipients,
        streams=made.streams,
    )
    made.finish(found)
    schedule.succeeded(context, "redis", found)
    return found
