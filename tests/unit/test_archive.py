"""A log in a store: its segments, what they lead to, how they are merged, kept and damaged."""

from __future__ import annotations

import math
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from mngdb.ops.backup import feed as feeding
from mngdb.ops.backup.archived import Archived
from mngdb.ops.backup.feed import StoreFeed
from mngdb.ops.backup.schedule import Run
from mngdb.secret import Secret
from mngdb.snapshot import Piece, Point, Taken
from mngdb.stores import StoreError
from mngdb.stores.archive import KEPT, Archive, Segment, chain, covered, parse, spans, unbroken
from mngdb.stores.directory import DirectoryStore
from mngdb.stores.manifest import Manifest
from mngdb.stores.retention import Policy, superfluous
from mngdb.stores.sealing import (
    Opener,
    Sealer,
    UnreadableError,
    digest,
    fingerprint,
    make_key,
    recipient,
)
from mngdb.stores.signing import Signer, make_secret
from tests.live.scrapes import until

KEY, SIGNER = make_key(), Signer(make_secret())


class Store(DirectoryStore):
    """A directory that is away while `away` is set."""

    away = False

    def put(self, key: str, data: bytes) -> None:
        """Refuse while it is away."""
        if self.away:
            raise StoreError("the store is away", passing=True)
        super().put(key, data)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty one."""
    return Archive(Store(tmp_path / "store"), "mngdb-1/stack/pg.log", SIGNER)


@contextmanager
def feed(archive: Archive, notes: list[Archived] | None = None) -> Iterator[StoreFeed]:
    """A feed into it."""
    sealer = Sealer([recipient(KEY)])
    told = notes if notes is not None else []
    with StoreFeed(archive, sealer, told.append, threading.Event()) as found:
        yield found


def content(archive: Archive, point: Point) -> bytes:
    """All that leads on from a point."""
    position, found = point.position, b""
    for one in chain(archive.segments(), point):
        piece = archive.read(Opener([KEY]), one)
        found += piece.data[position - piece.begin :]
        position = piece.end
    return found


def segment(begin: int, end: int, since: float, until: float) -> Segment:
    return Segment(
        branch="a", begin=begin, end=end, since=since, until=until,
        opens=False, run="0" * 8, keys=fingerprint([]), digest="0" * 32,
    )  # fmt: skip


# --- segments


def test_a_segment_is_known_by_its_name() -> None:
    one = segment(1 << 60, (1 << 60) + 5, 1764412345.678, 1764412346.001)
    assert parse("a", one.name, 0) == one
    assert parse("a", "manifest.json", 7) is None
    assert parse("a", f".{one.name}", 7) is None


def test_what_is_written_is_read_by_standard_tools(archive: Archive, tmp_path: Path) -> None:
    piece = Piece(5, 8, b"abc", ((3, 1.5),))
    one = archive.put(Sealer([recipient(KEY)]), "0" * 8, "a", piece, 1.0)
    assert archive.segments() == [one]
    assert archive.read(Opener([KEY]), one) == piece
    packed = tmp_path / "x.zst"
    import pyrage

    sealed = archive.store.get(archive.key(one))
    identity = pyrage.x25519.Identity.from_str(KEY.reveal())
    packed.write_bytes(pyrage.decrypt(sealed, [identity]))
    if zstd := shutil.which("zstd"):
        assert subprocess.run([zstd, "-dc", packed], capture_output=True).stdout == b"abc"


def test_every_damage_is_told(archive: Archive) -> None:
    one = archive.put(Sealer([recipient(KEY)]), "0" * 8, "a", Piece(0, 3, b"abc", ((3, 1.0),)), 1.0)
    path = Path(archive.store.place) / archive.key(one)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        for act in (archive.check, lambda found: archive.read(Opener([KEY]), found)):
            with pytest.raises(UnreadableError, match=one.name):
                act(one)
    path.write_bytes(whole[:-1])
    with pytest.raises(UnreadableError, match=one.name):
        archive.check(one)
    path.unlink()
    with pytest.raises(UnreadableError, match="is missing"):
        archive.check(one)
    path.write_bytes(whole)
    other = Opener([Secret(make_key().reveal())])
    with pytest.raises(UnreadableError, match="decrypted"):
        archive.read(other, one)


def test_what_others_wrote_or_moved_does_not_count(archive: Archive) -> None:
    piece, sealer = Piece(0, 3, b"abc", ((3, 1.0),)), Sealer([recipient(KEY)])
    one = archive.put(sealer, "0" * 8, "a", piece, 1.0)
    data, store = archive.store.get(archive.key(one)), archive.store
    forger = Archive(store, "mngdb-1/stack/pg.log", Signer(make_secret()))
    forger.put(sealer, "1" * 8, "a", replace(piece, begin=3, end=6), 1.0)
    moved = [
        archive.key(one).replace("/a/", "/b/"),
        archive.key(one).replace("pg.log", "other.log"),
        archive.key(replace(one, until=9.0)),
        archive.key(replace(one, digest=digest(b"forged"))),
        archive.key(replace(one, signature="")),
    ]
    for key in moved:
        store.put(key, data)
    found, foreign = archive.sifted()
    assert found == [one]
    assert len(foreign) == 5
    assert Archive(store, "mngdb-1/stack/other.log", SIGNER).segments() == []
    assert "not written by this stack" in archive.told(foreign)
    assert Archive(store, "mngdb-1/stack/pg.log", None).segments() == []
    everything = Archive(store, "mngdb-1/stack/pg.log", None, unsigned=True)
    assert len(everything.segments()) == 6


def test_what_other_keys_open_is_told_by_its_name(archive: Archive) -> None:
    other = Sealer([recipient(make_key()), recipient(KEY)])
    same = Sealer([*other.recipients[::-1], other.recipients[0]])
    assert same.fingerprint == other.fingerprint
    piece = Piece(0, 3, b"abc", ((3, 1.0),))
    one, two = (
        archive.put(sealer, "0" * 8, "a", piece, 1.0)
        for sealer in (other, Sealer([recipient(KEY)]))
    )
    assert archive.segments(same.fingerprint) == [one]
    assert archive.segments(two.keys) == [two]


# --- what leads on


def test_a_chain_takes_the_longest_way_and_ends_at_a_gap() -> None:
    every = [
        segment(0, 10, 1, 2), segment(5, 8, 1, 2), segment(10, 10, 2, 9),
        segment(10, 30, 2, 12), segment(10, 20, 2, 11), segment(40, 50, 20, 21),
    ]  # fmt: skip
    assert [(o.begin, o.end) for o in chain(every, Point("a", 0))] == [(0, 10), (10, 10), (10, 30)]
    assert [(o.begin, o.end) for o in chain(every, Point("a", 7))] == [(0, 10), (10, 10), (10, 30)]
    assert [(o.begin, o.end) for o in chain(every, Point("a", 45))] == [(40, 50)]
    assert chain(every, Point("a", 35)) == []
    assert chain(every, Point("b", 0)) == []


def test_a_server_that_writes_nothing_keeps_every_moment() -> None:
    still = [segment(10, 10, 60 * n, 60 * (n + 1)) for n in range(1, 9)]
    every = [segment(0, 10, 0, 60), *still, segment(10, 20, 540, 550)]
    for since in (0, 10):
        found = chain(every, Point("a", since))
        assert spans(60 if since else 0, found) == [(60 if since else 0, 550)]
    merged = segment(10, 10, 60, 360)
    every = sorted([*every, merged], key=lambda one: (one.branch, one.begin, one.end, one.until))
    assert spans(0, chain(every, Point("a", 0))) == [(0, 550)]


def test_a_chain_has_what_tells_that_nothing_was_written() -> None:
    """A merged segment ends at a position for longer than a snapshot there took."""
    every = [segment(0, 10, 1, 90), segment(10, 20, 90, 91)]
    found = chain(every, Point("a", 10))
    assert found == every
    assert spans(50, found) == [(50, 91)]
    assert chain(every[1:], Point("a", 10)) == every[1:]
    assert chain([*every, segment(0, 20, 1, 91)], Point("a", 10))[-1].end == 20


def test_ten_thousand_ways_to_cut_a_log_lead_to_its_end() -> None:
    chance = random.Random(11)
    for _ in range(2000):
        cuts = sorted({0, 100, *(chance.randrange(100) for _ in range(8))})
        every = [segment(a, b, a, b) for a, b in pairwise(cuts)]
        for _ in range(chance.randrange(4)):  # some were written once more, as one
            first = chance.randrange(len(every))
            last = chance.randrange(first, len(every))
            every.append(segment(every[first].begin, every[last].end, 0, every[last].end))
        every.sort(key=lambda one: (one.branch, one.begin, one.end, one.until))
        begin = chance.randrange(100)
        found = chain(every, Point("a", begin))
        assert found[0].begin <= begin
        assert found[-1].end == 100
        assert all(one.end >= two.begin for one, two in pairwise(found))
        assert unbroken(every, "a") == (0, 100, 100)


def test_times_that_nobody_knows_are_a_gap() -> None:
    every = [segment(0, 10, 100, 110), segment(10, 20, 110, 120), segment(20, 30, 500, 510)]
    assert spans(105, every) == [(105, 120), (500, 510)]
    assert spans(105, []) == [(105, 105)]
    late = [segment(30, 40, 700, 700), segment(40, 50, 900, 910)]
    assert spans(105, [*every, *late]) == [(105, 120), (500, 510), (900, 910)]


def test_what_no_promised_moment_needs_goes() -> None:
    said = Taken(kind="full", product="Toy", version="1", source="1", position={})

    def snapshot(moment: float, position: int) -> Manifest:
        taken = replace(said, moment=moment, log=Point("a", position))
        return Manifest(
            id=str(moment), stack="s", stack_name="s", instance="pg", engine="toy", tool="m",
            started=moment, finished=moment, taken=taken,
        )  # fmt: skip

    log = [segment(number, number + 1, number, number + 1) for number in range(100)]
    policy = Policy(7, 0, 0, 20.0)
    kept = [snapshot(10, 10), snapshot(50, 50), snapshot(95, 95)]
    gone = superfluous(log, kept, policy, 100.0)
    assert [one.begin for one in gone] == list(range(49))  # 50 leads to all since 80
    assert superfluous(log, kept[2:], policy, 100.0) == log[:94]
    assert superfluous(log, [], policy, 100.0) == log[:80]


def test_what_another_one_has_goes_once_nobody_reads_it() -> None:
    small = [segment(0, 5, 0, 5), segment(5, 10, 5, 10), segment(10, 10, 10, 12)]
    wide = segment(0, 10, 0, 12)
    every = [*small, wide, segment(8, 20, 8, 20)]
    assert covered(every, 12 + KEPT) == []
    assert sorted(covered(every, 21 + KEPT), key=small.index) == small
    assert covered([wide, replace(small[0], keys="other")], 1e9) == []


# --- the feed


def test_everything_is_in_the_store_within_a_second(archive: Archive) -> None:
    notes: list[Archived] = []
    with feed(archive, notes) as found:
        assert found.resume("a") is None
        found.begin(Point("a", 7))
        found.write(b"abc", 10, 100.0)
        until(lambda: found.stored == 10, feeding._IDLE / 2)
        found.write(b"defg", 14, 101.0)
    assert content(archive, Point("a", 7)) == b"abcdefg"
    assert content(archive, Point("a", 9)) == b"cdefg"
    assert (notes[-1].stored, notes[-1].until, notes[-1].begin) == (14, 101.0, 7)
    assert unbroken(archive.segments(), "a") == (7, 14, 101.0)


def test_it_goes_on_where_the_store_has_it(archive: Archive) -> None:
    for number in range(3):
        with feed(archive) as found:
            at = found.resume("a") or 0
            assert at == 3 * number
            found.begin(Point("a", at))
            found.write(b"abc", at + 3, 100.0 + number)
    assert content(archive, Point("a", 0)) == b"abcabcabc"
    assert [one.opens for one in archive.segments()] == [True, False, False]
    assert spans(100.0, chain(archive.segments(), Point("a", 0))) == [(100.0, 102.0)]


def test_with_another_key_it_begins_anew(archive: Archive) -> None:
    with feed(archive) as found:
        found.begin(Point("a", 0))
        found.write(b"abc", 3, 100.0)
    notes: list[Archived] = []
    sealer = Sealer([recipient(make_key())])
    with StoreFeed(archive, sealer, notes.append, threading.Event()) as found:
        assert found.resume("a") is None
        found.begin(Point("a", 3))
        found.write(b"def", 6, 101.0)
    old, new = archive.segments()
    assert (old.opens, new.opens, old.keys == new.keys) == (True, True, False)
    assert (notes[-1].begin, notes[-1].keys) == (3, sealer.fingerprint)


@pytest.mark.parametrize(
    ("position", "keys", "leads"), [(7, "k", True), (6, "k", False), (7, "other", False)]
)
def test_a_snapshot_of_other_keys_is_led_on_by_nothing(
    position: int, keys: str, leads: bool
) -> None:
    run = Run(branch="a", position=position, keys=keys)
    assert run.led_on(Archived(branch="a", begin=7, keys="k")) == leads


def test_while_the_store_is_away_it_waits_and_loses_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "_AGAIN", (0.2,))
    store, notes, whole = archive.store, list[Archived](), b""
    assert isinstance(store, Store)
    with feed(archive, notes) as found:
        found.begin(Point("a", 0))
        store.away = True
        for number in range(30):
            whole += bytes([number]) * 1000
            found.write(bytes([number]) * 1000, len(whole), 100.0 + number)
        until(lambda: bool(notes[-1].error), 5)
        assert "is away" in notes[-1].error
        assert found.stored == 0
        store.away = False
        until(lambda: found.stored == len(whole), 5)
        assert notes[-1].error == ""
    assert content(archive, Point("a", 0)) == whole


def test_a_writer_waits_for_a_store_that_does_not_keep_up(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "_MOST", 1000)
    monkeypatch.setattr(feeding, "_AGAIN", (0.1,))
    store = archive.store
    assert isinstance(store, Store)
    with feed(archive) as found:
        found.begin(Point("a", 0))
        store.away = True
        found.write(b"x" * 2000, 2000, 1.0)
        waiting = threading.Thread(target=found.write, args=(b"y", 2001, 2.0))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        store.away = False
        waiting.join(5)
        assert not waiting.is_alive()
    assert content(archive, Point("a", 0)) == b"x" * 2000 + b"y"


def test_small_segments_become_one(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "_MERGE", 1.0)
    ahead = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead, time=time.time)
    monkeypatch.setattr(feeding, "time", clock)
    with feed(archive) as found:
        found.hurry = True
        found.begin(Point("a", 0))
        for number in range(20):
            found.write(b"x", number + 1, 100.0 + number)
            until(lambda end=number + 1: found.stored == end, 5)  # type: ignore[misc]
        listed = archive.segments()
        until(lambda: len(covered(archive.segments(), math.inf)) >= 10, 5)
        # whoever listed them reads them still
        assert all(archive.read(Opener([KEY]), one).data for one in listed)
        left = [one for one in archive.segments() if one not in covered(listed, math.inf)]
        assert chain(left, Point("a", 0))[-1].end == 20
        ahead = KEPT
        until(lambda: len(archive.segments()) < 20, 10)
    assert content(archive, Point("a", 0)) == b"x" * 20
    (first, *_) = archive.segments()
    piece = archive.read(Opener([KEY]), first)
    assert list(piece.stamps)[:3] == [(1, 100.0), (2, 101.0), (3, 102.0)]


def test_while_one_is_stored_the_next_one_gathers_and_many_become_one(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "_MANY", 4)
    monkeypatch.setattr(feeding, "KEPT", 0.0)
    monkeypatch.setattr(feeding, "_LOOK", 60.0)  # nobody waits for that
    free, put = threading.Event(), archive.store.put

    def slow(key: str, data: bytes) -> None:
        free.wait(10)
        put(key, data)

    monkeypatch.setattr(archive.store, "put", slow)
    with feed(archive) as found:
        found.hurry = True
        found.begin(Point("a", 0))
        found.write(b"x", 1, 100.0)
        time.sleep(0.1)
        for number in range(1, 50):
            found.write(b"x", number + 1, 100.0)
        assert (found.stored, os.get_blocking(found.moved)) == (0, False)
        free.set()
        until(lambda: found.stored == 50, 5)
        assert 1 <= os.eventfd_read(found.moved) <= 2
        assert len(archive.segments()) == 2
        for number in range(50, 56):
            found.write(b"x", number + 1, 100.0)
            until(lambda end=number + 1: found.stored == end, 5)  # type: ignore[misc]
        until(lambda: len(archive.segments()) == 2, 5)
    assert content(archive, Point("a", 0)) == b"x" * 56


def test_another_branch_and_another_place_are_gaps(archive: Archive) -> None:
    notes: list[Archived] = []
    with feed(archive, notes) as found:
        found.begin(Point("a", 0))
        found.write(b"x", 1, 100.0)
        found.begin(Point("a", 50), since=200.0)
        found.write(b"y", 51, 200.5)
        assert notes[-1].begin == 50
        found.begin(Point("b", 0))
        found.write(b"z", 1, 201.0)
        found.beat(205.0)
    assert content(archive, Point("a", 0)) == b"x"
    assert content(archive, Point("a", 50)) == b"y"
    assert content(archive, Point("b", 0)) == b"z"
    assert [one.opens for one in archive.segments()] == [True, True, True]
    assert (notes[-1].branch, notes[-1].begin, notes[-1].stored) == ("b", 0, 1)
    (last,) = chain(archive.segments(), Point("b", 0))
    assert last.until == 205.0


def test_what_was_known_at_the_end_is_stored(archive: Archive) -> None:
    with feed(archive) as found:
        found.begin(Point("a", 0))
        found.write(b"abc", 3, 100.0)
        until(lambda: found.stored == 3, 5)
        found.beat(130.0)
    assert spans(100.0, chain(archive.segments(), Point("a", 0))) == [(100.0, 130.0)]


def test_a_server_that_does_not_answer_leaves_what_was_noted(archive: Archive) -> None:
    """How far the log is in the store is as true as before."""
    notes: list[Archived] = []
    with feed(archive, notes):
        pass
    assert notes == []


def test_a_clock_that_jumps_back_an_hour_loses_nothing(archive: Archive) -> None:
    """The time of the log stands still until the clock is where it was."""
    with feed(archive) as found:
        found.hurry = True
        found.begin(Point("a", 0))
        for end, moment in ((1, 4000.0), (2, 400.0), (3, 430.0), (4, 4001.0)):
            found.write(b"abcd"[end - 1 : end], end, moment)
            until(lambda end=end: found.stored == end, 5)  # type: ignore[misc]
            found.beat(moment)
    assert content(archive, Point("a", 0)) == b"abcd"
    segments = chain(archive.segments(), Point("a", 0))
    assert [one.until for one in segments] == [4000.0, 4000.0, 4000.0, 4001.0]
    assert spans(4000.0, segments) == [(4000.0, 4001.0)]


def test_two_that_follow_the_same_server_do_each_other_no_harm(archive: Archive) -> None:
    with feed(archive) as one, feed(archive) as two:
        for found in (one, two):
            found.hurry = True
            found.begin(Point("a", 0))
        for end in range(1, 7):
            for found in (one, two):
                if found is one or end % 3 == 0:  # it reads in larger pieces
                    begin = found.resume("a") or 0
                    found.write(b"abcdef"[begin:end], end, 100.0 + end)
            until(lambda end=end: one.stored == end, 5)  # type: ignore[misc]
    assert content(archive, Point("a", 0)) == b"abcdef"
    assert content(archive, Point("a", 4)) == b"ef"


def test_a_segment_that_is_there_already_is_written_again(archive: Archive) -> None:
    piece, sealer = Piece(0, 3, b"abc", ((3, 100.0),)), Sealer([recipient(KEY)])
    one = archive.put(sealer, "0" * 8, "a", piece, 100.0)
    sealed = archive.store.get(archive.key(one))
    archive.store.put(archive.key(one), sealed)  # the answer to the first was lost
    archive.put(sealer, "1" * 8, "a", piece, 100.0)  # and by another run
    assert len(archive.segments()) == 2
    assert content(archive, Point("a", 0)) == b"abc"


def test_what_is_left_of_a_merge_that_was_killed_does_no_harm(archive: Archive) -> None:
    sealer = Sealer([recipient(KEY)])
    for begin, end in ((0, 3), (3, 6), (0, 6), (6, 9)):
        piece = Piece(begin, end, b"abcdefghi"[begin:end], ((end - begin, 100.0 + end),))
        archive.put(sealer, "0" * 8, "a", piece, 100.0 + begin)
    assert content(archive, Point("a", 0)) == b"abcdefghi"
    assert content(archive, Point("a", 4)) == b"efghi"
