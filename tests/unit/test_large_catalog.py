"""A store with thousands of snapshots: what there is is told in a time that grows with them."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec.structs import replace

from mngdb.ops.backup import place
from mngdb.ops.backup.prune import due
from mngdb.ops.backup.reach import reachable
from mngdb.ops.backup.sources import MAC
from mngdb.ops.context import Context
from mngdb.snapshot import Piece, Point, Taken
from mngdb.spec.load import load
from mngdb.stores.catalog import Catalog
from mngdb.stores.manifest import Manifest, Part, Stream, encode
from mngdb.stores.sealing import Sealer, make_key, recipient
from mngdb.stores.signing import make_secret
from tests.conftest import Cli
from tests.growth import grows_linearly

COUNT, SEGMENTS = 1_000, 2_000


def opened(cli: Cli) -> tuple[Context, str]:
    """A stack whose store is empty, and its public key."""
    (cli.folder / "store").mkdir(mode=0o700)
    cli.env["MNGDB_SECRET_BACKUP_KEY"] = (key := make_key()).reveal()
    cli.write("redis: {port: PORT1}\nbackup: {store: store}\nvault: environ\n")
    cli.env[f"MNGDB_SECRET_{MAC.upper()}"] = make_secret().reveal()
    environ = cli.environ()
    context = Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)
    context.claim()
    return context, recipient(key)


def test_log_that_was_merged_is_told_apart_from_log_that_goes(cli: Cli) -> None:
    context, public = opened(cli)
    archive, sealer = place.catalog(context).archive("redis"), Sealer([public])
    now = time.time()
    for begin, end in ((0, 5), (5, 9), (0, 9)):
        piece = Piece(begin, end, bytes(end - begin), ((end - begin, now - 3600 + end),))
        archive.put(sealer, "0" * 8, "branch", piece, now - 3600 + begin)
    found = due(context)
    assert [(one.begin, one.end) for one in found.merged["redis"]] == [(0, 5), (5, 9)]
    assert (found.segments, found.snapshots) == ({}, ())
    said = cli.ok("backup", "prune", "--dry-run")
    assert "0 B of the log, 2 segments that larger ones replace" in said
    cli.ok("backup", "prune", "--yes")
    assert [(one.begin, one.end) for one in archive.segments()] == [(0, 9)]
    assert not due(context)


def test_thousands_of_snapshots_are_listed_and_pruned_in_linear_time(cli: Cli) -> None:
    stores = {}
    for count in (COUNT, 4 * COUNT):
        folder = cli.folder / str(count)
        folder.mkdir()
        context, public = opened(Cli(folder))
        written(place.catalog(context), public, count)
        stores[count] = context

    def show(count: int) -> None:
        found = reachable(stores[count], "redis")
        assert len(found.reaches) == count
        assert len(found.spans) == count - 23, "the last day is one"

    def judge(count: int) -> None:
        assert count - 100 < len(due(stores[count]).snapshots) < count

    grows_linearly(show, COUNT)
    grows_linearly(judge, COUNT)


def written(catalog: Catalog, public: str, count: int) -> None:
    """So many manifests, one an hour, and the log since the last of them but one."""
    now, signer = time.time() - 60, catalog.signer
    assert signer is not None
    folder = Path(catalog.store.place) / catalog.prefix("redis")
    said = Taken(kind="full", product="Redis", version="8.2.3", source="1", position={})
    part = Part(5, 5, "0" * 64, "0" * 64)
    base = Manifest(
        id="", stack=catalog.stack, stack_name="mng", instance="redis", engine="redis",
        tool="mngdb", started=now, finished=now, taken=said, recipients=(public,),
        streams=(Stream("dump.rdb", 25, (part,) * 5),),
    )  # fmt: skip
    for number in range(count):
        moment = now - 3600 * (count - number)
        name = time.strftime("%Y%m%dT%H%M%SZ-000000", time.gmtime(moment))
        taken = replace(said, moment=moment, log=Point("a", number * 1000))
        (folder / name).mkdir(parents=True)
        one = replace(base, id=name, started=moment, finished=moment, taken=taken)
        (folder / name / "manifest.json").write_bytes(encode(one, signer))
    archive, sealer = catalog.archive("redis"), Sealer([public])
    for number in range(SEGMENTS):
        begin, step = (count - 24) * 1000, 24_000 // SEGMENTS
        since = now - 24 * 3600 + number * 43.2
        end = begin + (number + 1) * step
        piece = Piece(begin + number * step, end, b"", ((0, since + 43.2),))
        archive.put(sealer, "0" * 8, "a", piece, since)
