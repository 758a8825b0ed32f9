"""A bucket that is away, slow, or refuses: a backup waits, or ends red; what is there stays."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mngdb import stopping
from mngdb.stores import Store, StoreError, s3, streams
from mngdb.stores.catalog import Catalog, Snapshot
from mngdb.stores.manifest import Manifest
from mngdb.stores.sealing import Opener, Sealer, make_key, recipient
from tests import buckets
from tests.between import Between, between
from tests.conformance.snapshots import SIGNER, described

pytestmark = pytest.mark.live

KEY = make_key()
PART = 64 << 10
#: As they are outside of these tests.
PAUSES, PATIENCE = streams._PAUSES, streams._PATIENCE
#: Three parts and a piece.
CONTENT = random.Random(7).randbytes(3 * PART + 5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[buckets.Server]:
    """A real one, that a test stops and starts."""
    with buckets.rclone_server(tmp_path).running() as found:
        yield found


@pytest.fixture
def proxy(server: buckets.Server) -> Iterator[Between]:
    """One between us and it."""
    with between(server.port) as found:
        yield found


@pytest.fixture(autouse=True)
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes are ten seconds; the library tries once more, and the rest is for us."""
    monkeypatch.setattr(streams, "PART", PART)
    monkeypatch.setattr(streams, "_PAUSES", (0.02, 0.1, 0.5))
    monkeypatch.setattr(streams, "_PATIENCE", 10.0)
    monkeypatch.setattr(s3, "_RETRY", timedelta(milliseconds=100))


def begun(store: Store) -> Snapshot:
    """A snapshot that is being made."""
    return Catalog(store, "stack", SIGNER).begin(Sealer([recipient(KEY)]), "pg", lambda _, __: None)


def made(store: Store) -> Manifest:
    snapshot = begun(store)
    with snapshot.stream("base.tar") as stream:
        stream.write(CONTENT)
    found = described(snapshot)
    snapshot.finish(found)
    return found


def is_whole(store: Store, *snapshots: Manifest) -> bool:
    """Whether there are these snapshots, and each has its content."""
    catalog = Catalog(store, "stack", SIGNER)
    found, damages = catalog.snapshots("pg")
    ids = {one.id for one in found}
    read = (catalog.read(Opener([KEY]), one, "base.tar", lambda _, __: None) for one in found)
    same = ids == {one.id for one in snapshots} and not damages
    return same and all(b"".join(one) == CONTENT for one in read)


def test_one_that_is_away_for_a_while_is_waited_for(server: buckets.Server) -> None:
    store = buckets.bucket(server.port)
    first = made(store)
    snapshot = begun(store)
    with snapshot.stream("base.tar") as stream:
        stream.write(CONTENT[:PART])
        server.stop()
        threading.Timer(2.0, server.start).start()
        stream.write(CONTENT[PART:])
    second = described(snapshot)
    snapshot.finish(second)
    assert is_whole(store, first, second)


@pytest.mark.parametrize("takes", [0.0, 5.0, 30.0])
def test_ten_minutes_are_waited_for_however_long_an_attempt_takes(
    monkeypatch: pytest.MonkeyPatch, takes: float
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def ask() -> bool:
        sleep(takes)
        if now < 600:
            raise StoreError("nobody answers", passing=True)
        return True

    monkeypatch.setattr(streams, "_PAUSES", PAUSES)
    monkeypatch.setattr(streams, "_PATIENCE", PATIENCE)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(stopping, "sleep", sleep)
    monkeypatch.setattr(streams, "_known", {"there"})
    assert streams.patiently("there", ask)


def test_one_that_stays_away_ends_the_backup_and_loses_nothing(
    server: buckets.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_PATIENCE", 1.0)
    store = buckets.bucket(server.port)
    first = made(store)
    server.stop()
    with pytest.raises(StoreError) as caught:
        made(store)
    assert caught.value.passing
    assert "s3://bucket" in caught.value.message
    server.start()
    assert is_whole(store, first)


def test_a_key_that_is_revoked_ends_the_backup_at_once(tmp_path: Path) -> None:
    with buckets.MotoServer(tmp_path).running() as server:
        store = server.bucket()
        first = made(store)
        snapshot = begun(store)
        with snapshot.stream("base.tar") as stream:
            stream.write(CONTENT)
        server.revoke()
        begin = time.monotonic()
        for act in (lambda: made(store), lambda: snapshot.finish(described(snapshot))):
            with pytest.raises(StoreError, match="refuse") as caught:
                act()
            assert not caught.value.passing
        with pytest.raises(StoreError, match="refuse"):
            snapshot.discard()
        assert time.monotonic() - begin < 5
        store = server.bucket()  # with the new key
        assert is_whole(store, first)
        catalog = Catalog(store, "stack", SIGNER)
        left = catalog.unfinished("pg", time.time() + 60)
        assert left
        store.delete(left)
        assert is_whole(store, first)


@pytest.mark.parametrize("status", [500, 503])
def test_one_part_that_is_refused_for_a_while_is_tried_again(proxy: Between, status: int) -> None:
    proxy.fault = lambda method, path: (
        status if method == "PUT" and ".000002." in path and len(proxy.refused) < 8 else None
    )
    store = buckets.bucket(proxy.port)
    assert is_whole(store, made(store))
    assert len(proxy.refused) == 8


def test_one_part_that_is_always_refused_is_no_snapshot(
    proxy: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_PATIENCE", 0.5)
    store = buckets.bucket(proxy.port)
    first = made(store)
    proxy.fault = lambda method, path: 500 if method == "PUT" and ".000002." in path else None
    with pytest.raises(StoreError, match="InternalError"):
        made(store)
    assert is_whole(store, first)


def test_a_slow_line_is_no_error(proxy: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_SILENT", timedelta(seconds=0.8))
    monkeypatch.setattr(streams, "PART", 4 * PART)
    store = buckets.bucket(proxy.port)
    proxy.rate = len(CONTENT) / 2  # in bytes a second: a part takes 2 s either way
    assert is_whole(store, made(store))


def test_one_that_says_nothing_is_given_up(proxy: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_SILENT", timedelta(seconds=0.2))
    monkeypatch.setattr(s3, "_WRITE", timedelta(seconds=0.2))
    store = buckets.bucket(proxy.port)
    proxy.fault = lambda _, __: 0
    for act in (lambda: store.get("a"), lambda: store.put("a", b"x"), lambda: store.delete(["a"])):
        begin = time.monotonic()
        with pytest.raises(StoreError) as caught:
            act()
        assert caught.value.passing
        assert time.monotonic() - begin < 5
