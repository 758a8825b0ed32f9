"""What root makes in a data folder, while others with the rights of its account exchange what is
there: links lead root nowhere where the account itself could not go."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mngdb import disk
from mngdb.engines.postgres import segments, unpack
from mngdb.errors import MngdbError
from mngdb.run import Account
from mngdb.snapshot import Piece, Point, Taken
from mngdb.targets.local import swap
from mngdb.targets.local.layout import UnitFolder
from tests.live.snapshots import Memory, MemoryFeed

pytestmark = pytest.mark.root
ENTRY = pwd.getpwnam("daemon")
ACCOUNT = Account("daemon", ENTRY.pw_uid, ENTRY.pw_gid)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every account can pass."""
    found = Path(tempfile.mkdtemp(dir="/tmp"))
    found.chmod(0o711)
    yield found
    shutil.rmtree(found)


@pytest.fixture
def victim(place: Path) -> Iterator[Path]:
    """A folder of root's, with a file, that stays as it is."""
    found = disk.folder(place / "victim", mode=0o755)
    (found / "recovery.signal").touch(0o644)
    (found / ("0" * 24)).touch(0o644)
    (found / "16384").symlink_to(place / "spare" / "spaces")
    before = {path: path.lstat() for path in (found, *found.iterdir())}
    yield found
    after = {path: path.lstat() for path in (found, *found.iterdir())}
    assert [(at, one.st_mtime_ns, one.st_uid) for at, one in after.items()] == [
        (at, one.st_mtime_ns, one.st_uid) for at, one in before.items()
    ]


def logged() -> Memory:
    """A snapshot and 100 bytes of log."""
    saved = Memory()
    saved.taken = Taken(
        kind="full", product="", version="", source="", position={}, log=Point("b-1", 0)
    )
    saved.feed, saved.until = MemoryFeed(), 1.0
    saved.feed.pieces.append(Piece(0, 100, b"x" * 100, ((100, 1.0),)))
    return saved


#: What is done in a folder of the data folder.
WORK: dict[str, Callable[[Path], object]] = {
    "segments": lambda at: segments.lay(logged(), at, ACCOUNT),
    "cut": lambda at: segments.cut(
        segments.Log(200, 1 << 20, bytearray()), "b-1", 100, at, ACCOUNT
    ),
    "file": lambda at: unpack.file(iter([b"x"]), at / "new", ACCOUNT),
    "folder": lambda at: unpack.folder(at / "new", ACCOUNT),
    "disarm": lambda at: unpack.disarm(at, ACCOUNT),
}


@pytest.mark.parametrize("work", WORK)
def test_a_directory_that_became_a_link_leads_nowhere(place: Path, victim: Path, work: str) -> None:
    data = disk.folder(place / "data", owner=ACCOUNT)
    (data / "pg_wal").symlink_to(victim)
    with pytest.raises((MngdbError, PermissionError)):
        WORK[work](data / "pg_wal")


@pytest.mark.parametrize("work", WORK)
def test_what_is_made_is_the_accounts(place: Path, work: str) -> None:
    data = disk.folder(place / "data", owner=ACCOUNT)
    WORK[work](data)
    found = [path.lstat() for path in data.rglob("*")]
    assert found
    assert {(one.st_uid, one.st_gid) for one in found} == {(ACCOUNT.uid, ACCOUNT.gid)}
    assert {stat.S_IMODE(one.st_mode) & 0o077 for one in found} == {0}
    (place / "still root").touch()
    assert (place / "still root").stat().st_uid == 0


def test_links_are_exchanged_in_no_directory_of_roots(place: Path, victim: Path) -> None:
    """A link in it, as the account may have made before in a folder that it then exchanged."""
    roots = [disk.folder(place / name, mode=0o711) for name in ("spare", "live")]
    spare, live = (UnitFolder(one, one / "run") for one in roots)
    for one in (spare, live):
        disk.folder(one.data, owner=ACCOUNT)
    (roots[0] / "spaces").mkdir()
    (spare.data / "pg_tblspc").symlink_to(victim)
    with pytest.raises(PermissionError):
        swap.exchange(spare, live)


def test_a_pipe_keeps_no_sync_waiting(place: Path) -> None:
    os.mkfifo(place / "pipe")
    disk.sync(place / "pipe")
    disk.sync_tree(place)
