"""What holds for every store, and for what is kept in it."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from mngdb import stopping
from mngdb.errors import MngdbError
from mngdb.stores import MissingError, Store, StoreError, directory, streams
from mngdb.stores.catalog import GUIDE, ROOT, Catalog
from mngdb.stores.directory import DirectoryStore
from mngdb.stores.manifest import Manifest
from mngdb.stores.s3 import BucketStore
from mngdb.stores.sealing import (
    Opener,
    Sealer,
    UnreadableError,
    make_key,
    recipient,
)
from tests import buckets
from tests.conformance.snapshots import (
    CONTENT,
    KEY,
    OTHER,
    SIGNER,
    SMALL,
    data,
    described,
    made,
    nothing,
)
from tests.conftest import free_port

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, buckets.Server]]:
    """The S3 servers of this file, each started once."""
    kinds: dict[str, Callable[[Path], buckets.Server]] = {
        "rclone": buckets.rclone_server,
        "seaweed": buckets.seaweed_server,
        "moto": buckets.MotoServer,
    }
    with ExitStack() as running:
        yield {
            name: running.enter_context(make(tmp_path_factory.mktemp(name)).running())
            for name, make in kinds.items()
        }


@pytest.mark.parametrize("kind", ["seaweed", "moto"])
def test_a_server_without_version_2_of_the_list_is_listed_by_marker(
    servers: dict[str, buckets.Server], kind: str
) -> None:
    store = servers[kind].bucket("by marker/ü", list="1")
    keys = [f"a/{number:04} +&한" for number in range(1050)]
    for key in [*keys, "ab/other"]:
        store.put(key, b"xyz")
    found = list(store.entries("a"))
    assert sorted(one.key for one in found) == keys
    assert {one.size for one in found} == {3}
    assert all(abs(one.modified - time.time()) < 3600 for one in found)
    assert list(store.entries("nothing")) == []
    wrong = servers[kind].bucket("x", list="1", secret_access_key="wrong")
    if kind == "seaweed":
        with pytest.raises(StoreError, match="cannot list"):
            list(wrong.entries("a"))


@pytest.fixture(params=["directory", "rclone", "seaweed", "moto"])
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    servers: dict[str, buckets.Server],
    monkeypatch: pytest.MonkeyPatch,
) -> Store:
    """An empty store of each kind."""
    kind = str(request.param)
    if kind == "directory":
        return DirectoryStore(tmp_path / "store")
    assert not servers[kind].problem
    monkeypatch.setattr(streams, "_PATIENCE", 15.0)  # one that has died is back by then
    return servers[kind].bucket(f"{tmp_path.name}/store")


def test_an_object_is_as_it_was_written(store: Store) -> None:
    for content in (b"", b"\0\xff" * 1000, b"newer"):
        store.put("a/b", content)
        assert store.get("a/b") == content


def test_what_is_below_a_prefix_is_listed_and_nothing_else(store: Store) -> None:
    for key in ("a/b/c", "a/b/d.x", "a/bc/e", "f"):
        store.put(key, key.encode())
    found = {one.key: one.size for one in store.entries("a/b")}
    assert found == {"a/b/c": 5, "a/b/d.x": 7}
    assert list(store.entries("nothing")) == []


def test_more_objects_than_a_page_are_listed_and_removed(store: Store) -> None:
    keys = [f"many/{number}" for number in range(1100)]
    for key in keys:
        store.put(key, b"x")
    assert {one.key for one in store.entries("many")} == set(keys)
    store.delete(keys)
    assert list(store.entries("many")) == []


def test_what_is_not_there_is_missing_and_may_be_removed(store: Store) -> None:
    with pytest.raises(MissingError):
        store.get("a/nothing")
    store.put("a/b", b"x")
    store.delete(["a/b", "a/nothing"])
    assert list(store.entries("a")) == []


def test_several_threads_write_at_a_time(store: Store) -> None:
    def write(number: int) -> None:
        for turn in range(5):
            store.put(f"side/{number}", bytes([number]) * 1000 * turn)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.get(f"side/{n}") for n in range(8)] == [bytes([n]) * 4000 for n in range(8)]


def test_a_wrong_key_is_refused_in_a_sentence(servers: dict[str, buckets.Server]) -> None:
    for one in servers.values():
        with pytest.raises(StoreError) as caught:
            one.bucket(secret_access_key="another").put("a", b"x")
        assert not caught.value.passing
        assert "refuse" in caught.value.message
        assert "another" not in caught.value.message + (caught.value.hint or "")


def test_what_stays_wrong_is_told_at_once_with_what_helps(
    servers: dict[str, buckets.Server],
) -> None:
    server = servers["moto"]
    for change, said, helps in (
        ({"endpoint": f"https://127.0.0.1:{server.port}"}, "does not speak TLS", "endpoint:"),
        ({"access_key_id": "x" * 20}, "refuses", "secret set"),
    ):
        for act in (lambda one: one.put("a", b"x"), lambda one: list(one.entries("a"))):
            with pytest.raises(StoreError, match=said) as caught:
                act(server.bucket(**change))
            assert not caught.value.passing
            assert helps in (caught.value.hint or "")
    store = BucketStore("nosuch", "", server.bucket()._options)
    for act in (lambda one: one.put("a", b"x"), lambda one: list(one.entries("a"))):
        with pytest.raises(StoreError, match="no bucket 'nosuch'") as caught:
            act(store)
        assert not caught.value.passing
    half = {name: one for name, one in server.bucket()._options.items() if "secret" not in name}
    with pytest.raises(StoreError, match="Missing SecretAccessKey") as caught:
        BucketStore("bucket", "", half).put("a", b"x")
    assert (caught.value.passing, "secret set" in (caught.value.hint or "")) == (False, True)


def test_a_server_that_is_away_may_be_back_in_a_moment() -> None:
    port = free_port()
    store = buckets.bucket(port, "")
    with pytest.raises(StoreError) as caught:
        store.get("a")
    assert caught.value.passing


def test_a_directory_is_its_owners_alone(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.put("a/b", b"x")
    modes = {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "store").rglob("*")}
    assert modes == {0o700, 0o600}


def test_a_link_in_a_directory_leads_nowhere(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.put("a/b", b"x")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "store" / "a" / "c").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError):
        store.get("a/c")
    assert [one.key for one in store.entries("a")] == ["a/b"]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_link_in_the_place_of_a_folder_is_followed_by_nothing(tmp_path: Path, depth: int) -> None:
    store, victim = DirectoryStore(tmp_path / "store"), tmp_path / "victim"
    key = "mngdb-1/stack/pg/a/b"
    store.put(key, b"x")
    folder = tmp_path / "store" / "/".join(key.split("/")[: depth + 1])
    below = victim / "/".join(key.split("/")[depth + 1 :])
    below.parent.mkdir(parents=True)
    below.write_bytes(b"precious")
    shutil.rmtree(folder)
    folder.symlink_to(victim)
    acts: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: list(store.entries("mngdb-1/stack/pg/a")),
        lambda: store.delete([key]),
        lambda: store.put(f"{key}c", b"y"),
    ]
    for act in acts:
        with pytest.raises(StoreError, match="is a symbolic link"):
            act()
    if depth:
        assert list(store.entries("mngdb-1")) == []
    assert [one.name for one in below.parent.iterdir()] == ["b"]
    assert below.read_bytes() == b"precious"


def test_only_a_file_of_a_sensible_size_is_read(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    catalog = Catalog(store, "stack", SIGNER)
    manifest = made(catalog, {"base": b"1"})
    key = f"{catalog.prefix('pg', manifest.id)}/manifest.json"
    for name in (key, directory.MARK):
        path = tmp_path / "store" / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        with pytest.raises(StoreError, match="not a regular file"):
            store.get(name)
    with pytest.raises(StoreError, match="not a regular file"):
        store.marked()
    for name in (key, directory.MARK):
        (tmp_path / "store" / name).unlink()
        (tmp_path / "store" / name).touch()
        os.truncate(tmp_path / "store" / name, 6 << 30)
    with pytest.raises(StoreError, match="too large"):
        store.marked()
    assert "so large" in catalog.snapshots("pg")[1][0].text


def test_of_a_larger_object_little_more_is_read_than_asked_for(store: Store) -> None:
    store.put("a", b"x" * 1000)
    assert len(store.get("a", 10)) == 11
    assert len(store.get("a", 1000)) == len(store.get("a", 2000)) == 1000


# --- streams and snapshots


def test_streams_have_any_name(store: Store) -> None:
    names = [
        "db/" + "q" * 238 + ".metadata.json",
        "db/" + "q" * 238 + ".bson",
        "d\n/a..b.bson",
        "d%0A/a..b.bson",
        "한글/.hidden.bson",
        "db/..bson",
        "back\\slash~",
    ]
    catalog = Catalog(store, "stack", SIGNER)
    content = {name: name.encode() for name in names}
    manifest = made(catalog, content)
    for name, wanted in content.items():
        read = catalog.read(Opener([KEY]), manifest, name, nothing)
        assert b"".join(read) == wanted
    assert catalog.verify(manifest, Opener([KEY]), nothing) == []
    catalog.remove([manifest])
    assert not [one.key for one in store.entries("") if manifest.id in one.key]


@pytest.mark.usefixtures("small")
def test_a_snapshot_is_as_it_was_written(store: Store) -> None:
    catalog = Catalog(store, "stack", SIGNER)
    manifest = made(catalog, CONTENT)
    ((found,), damages) = catalog.snapshots("pg")
    assert found == manifest
    assert not damages
    for name, content in CONTENT.items():
        assert b"".join(catalog.read(Opener([OTHER, KEY]), found, name, nothing)) == content
    assert found.size == sum(map(len, CONTENT.values()))
    assert catalog.verify(found, Opener([KEY]), nothing) == []
    assert catalog.verify(found, None, nothing) == []


@pytest.mark.usefixtures("small")
def test_what_has_no_manifest_is_no_snapshot(store: Store) -> None:
    catalog = Catalog(store, "stack", SIGNER)
    snapshot = catalog.begin(Sealer([recipient(KEY)]), "pg", nothing)

    def half() -> None:
        with snapshot.stream("base") as stream:
            stream.write(data(5 * SMALL))
            raise RuntimeError("the source ended early")

    with pytest.raises(RuntimeError):
        half()
    assert snapshot.streams == ()
    assert catalog.snapshots("pg") == ([], [])
    snapshot.discard()
    assert list(store.entries(ROOT)) == []


@pytest.mark.usefixtures("small")
def test_a_chain_is_found_and_what_it_lacks_is_named(store: Store) -> None:
    catalog = Catalog(store, "stack", SIGNER)
    chain: list[Manifest] = []
    for number in range(3):
        snapshot = catalog.begin(Sealer([recipient(KEY)]), "pg", nothing)
        with snapshot.stream("base.tar") as stream:
            stream.write(data(3 * SMALL, number))
        chain.append(replace(described(snapshot), parent=chain[-1].id if chain else None))
        snapshot.finish(chain[-1])
    full, first, second = chain
    assert catalog.parents(second) == (full, first)
    assert catalog.parents(full) == ()
    assert [catalog.lacks(one) for one in chain] == ["", "", ""]
    key = next(one.key for one in store.entries(catalog.prefix("pg", first.id)) if "tar" in one.key)
    store.put(key, store.get(key)[:-1])
    assert catalog.lacks(first) == key
    catalog.remove([full])
    for one in (first, second):
        with pytest.raises(UnreadableError, match=full.id):
            catalog.parents(one)


def test_the_guide_to_a_restore_without_mngdb_is_beside_the_snapshots(store: Store) -> None:
    made(Catalog(store, "stack", SIGNER), {})
    assert b"age --decrypt" in store.get(f"{ROOT}/{GUIDE}")


@pytest.mark.usefixtures("small")
def test_two_stacks_and_two_runs_on_one_prefix_touch_nothing_of_each_other(store: Store) -> None:
    ours, theirs = Catalog(store, "stack", SIGNER), Catalog(store, "other", SIGNER)
    first, second = made(ours, {"base": b"1"}), made(ours, {"base": b"2"})
    third = replace(made(theirs, {"base": b"3"}), stack="other")
    ours.remove([first])
    assert [one.id for one in ours.snapshots("pg")[0]] == [second.id]
    assert b"".join(theirs.read(Opener([KEY]), third, "base", nothing)) == b"3"
    assert ours.snapshots("p") == ([], [])


@pytest.mark.usefixtures("small")
def test_another_key_reads_nothing_and_says_so(store: Store) -> None:
    catalog = Catalog(store, "stack", SIGNER)
    manifest = made(catalog, {"base": b"precious"}, key=OTHER)
    with pytest.raises(UnreadableError, match="decrypt"):
        list(catalog.read(Opener([KEY]), manifest, "base", nothing))
    found = catalog.verify(manifest, Opener([KEY]), nothing)
    assert len(found) == 1
    assert not any(b"precious" in store.get(one.key) for one in store.entries(ROOT))


class Away:
    """A store that is away for the first questions of each key."""

    def __init__(self, store: Store, times: int) -> None:
        self.store = store
        self.place = store.place
        self.entries, self.delete = store.entries, store.delete
        self._times = times
        self._asked: dict[str, int] = {}

    def _ask(self, key: str) -> None:
        self._asked[key] = self._asked.get(key, 0) + 1
        if self._asked[key] <= self._times:
            raise StoreError("nobody answers", passing=True)

    def put(self, key: str, content: bytes) -> None:
        self._ask(key)
        self.store.put(key, content)

    def get(self, key: str, most: int | None = None) -> bytes:
        self._ask(f"get {key}")
        return self.store.get(key, most)


@pytest.mark.usefixtures("small")
def test_a_store_that_is_away_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "sleep", lambda _: None)
    store = Away(DirectoryStore(tmp_path / "store"), 3)
    manifest = made(Catalog(store, "stack", SIGNER), CONTENT)
    store = Away(store.store, 3)
    for name, content in CONTENT.items():
        read = Catalog(store, "stack", SIGNER).read(Opener([KEY]), manifest, name, nothing)
        assert b"".join(read) == content


def test_a_full_disk_ends_a_stream_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PART", SMALL)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ROOT).write_text("in the way")
    with pytest.raises(MngdbError, match="cannot write in the store"):
        made(Catalog(DirectoryStore(tmp_path / "store"), "stack", SIGNER), CONTENT)


def test_what_a_killed_backup_left_is_found_and_no_other(store: Store) -> None:
    catalog = Catalog(store, "stack", SIGNER)
    sealer = Sealer([recipient(make_key())])
    whole, killed = (catalog.begin(sealer, "pg", lambda _, __: None) for _ in range(2))
    for one in (whole, killed):
        with one.stream("base.tar") as stream:
            stream.write(b"x" * SMALL)
    whole.finish(described(whole))
    assert catalog.unfinished("pg", time.time() - 60) == []
    left = catalog.unfinished("pg", time.time() + 60)
    assert left
    assert all(killed.id in key for key in left)


def test_of_several_marks_at_once_one_counts(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            root = tmp_path / str(number)
            found = set(pool.map(lambda _, root=root: DirectoryStore(root).marked(), range(8)))
            assert len(found) == 1
            assert [one.name for one in (root / "mngdb-1").iterdir()] == ["store-id"]
