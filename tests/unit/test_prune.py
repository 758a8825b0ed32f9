"""A prune that is killed at any object: what is left is whole, and the next one finishes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from mngdb.ops.backup import place
from mngdb.ops.backup.prune import due, prune
from mngdb.ops.backup.sources import MAC
from mngdb.ops.context import Context
from mngdb.snapshot import Piece, Point, Taken
from mngdb.spec.load import load
from mngdb.stores.catalog import Catalog
from mngdb.stores.directory import DirectoryStore
from mngdb.stores.manifest import Manifest, parents
from mngdb.stores.sealing import Opener, Sealer, make_key, recipient
from mngdb.stores.signing import make_secret
from tests.conftest import Cli

DAY = 86_400.0
KEY = make_key()
FILE = """
postgres: {port: PORT1}
backup: {store: store, keep: {daily: 1, weekly: 0, monthly: 0, point_in_time: 1h}}
vault: environ
"""


class KilledError(Exception):
    """Here the process would end."""


def written(catalog: Catalog) -> None:
    """Two chains of two, of days before, one of today, and the log since the first; long ago."""
    now, sealer = time.time(), Sealer([recipient(KEY)])
    parent = None
    for number, age in enumerate((4 * DAY, 3.5 * DAY, 3 * DAY, 2.5 * DAY, 2 * 3600, 1800)):
        snapshot = catalog.begin(sealer, "postgres", lambda _, __: None)
        for name in ("base.tar", "backup_manifest"):
            with snapshot.stream(name) as stream:
                stream.write(f"{name} {number}".encode())
        parent = parent if number % 2 else None
        said = Taken(
            kind="incremental" if parent else "full", product="PostgreSQL", version="17.1",
            source="1", position={}, moment=now - age, log=Point("a", number * 100),
        )  # fmt: skip
        found = Manifest(
            id=snapshot.id, stack=catalog.stack, stack_name="mng", instance="postgres",
            engine="postgres", tool="mngdb", started=now - age, finished=now - age, taken=said,
            parent=parent, recipients=snapshot.recipients, streams=snapshot.streams,
        )  # fmt: skip
        snapshot.finish(found)
        parent = snapshot.id
        begin = number * 100
        piece = Piece(begin, begin + 100, b"x", ((1, now - age + 1000),))
        catalog.archive("postgres").put(sealer, "0" * 8, "a", piece, now - age)


def keys(catalog: Catalog) -> set[str]:
    return {one.key for one in catalog.store.entries(catalog.prefix(""))}


def test_killed_after_any_object_it_leaves_whole_snapshots_and_is_finished(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = cli.folder / "store"
    store.mkdir(mode=0o700)
    cli.env["MNGDB_SECRET_BACKUP_KEY"] = KEY.reveal()
    cli.env[f"MNGDB_SECRET_{MAC.upper()}"] = make_secret().reveal()
    cli.write(FILE)
    context = Context.open(load([cli.folder / "mngdb.yaml"], cli.environ()), cli.environ())
    context.claim()
    catalog, copy = place.catalog(context), cli.folder / "copy"
    written(catalog)
    for path in store.rglob("*.age"):  # what a killed backup has left is younger than a day
        os.utime(path, (time.time() - 5 * DAY,) * 2)
    shutil.copytree(store, copy)
    prune(context, due(context))
    wanted, removed = keys(catalog), len(list(copy.rglob("*.*"))) - len(list(store.rglob("*.*")))
    kept = {one.id for one in catalog.snapshots("postgres")[0]}
    assert (len(kept), removed) == (2, 4 * 3 + 3)
    delete, left = DirectoryStore.delete, 0

    def dying(self: DirectoryStore, keys: Iterable[str]) -> None:
        nonlocal left
        for key in keys:
            if not left:
                raise KilledError
            left -= 1
            delete(self, [key])

    for count in range(removed):
        put_back(copy, store)
        with monkeypatch.context() as patched:
            patched.setattr(DirectoryStore, "delete", dying)
            left = count
            with pytest.raises(KilledError):
                prune(context, due(context))
        sound(catalog, kept)
        prune(context, due(context))
        assert keys(catalog) == wanted, count


def put_back(copy: Path, store: Path) -> None:
    shutil.rmtree(store)
    shutil.copytree(copy, store)


def sound(catalog: Catalog, kept: set[str]) -> None:
    """Every snapshot that is there is whole, with all that it builds on."""
    found, damages = catalog.snapshots("postgres")
    known = {one.id: one for one in found}
    assert kept <= set(known)
    assert not damages
    for one in found:
        parents(one, known)
        assert catalog.verify(one, Opener([KEY]), lambda _, __: None) == []
