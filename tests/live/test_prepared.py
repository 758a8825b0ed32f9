"""Data folders that are copies of an earlier one: each a cluster of its own, each whole."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from mngdb import disk
from mngdb.engines.postgres import identity
from mngdb.identity.home import SYSTEM
from mngdb.model import Renewal, Unit
from mngdb.run import spawn
from mngdb.targets.local import copied, programs
from mngdb.targets.local.prepare import Preparation
from mngdb.targets.process import machine
from mngdb.targets.process.logs import Started, appending
from tests.conftest import Cli

pytestmark = [pytest.mark.live, pytest.mark.postgres]

_IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"


def test_every_stack_has_an_identity_of_its_own(cli: Cli, module_cli: Cli) -> None:
    """Whichever of the two made the copy, and whichever was made from it."""
    seen = set()
    for one in (cli, module_cli):
        one.write("postgres: {port: PORT1}\n")
        one.ok("up")
        url = one.ok("url", "postgres").strip()
        with psycopg.connect(url) as connection:
            (identifier,) = connection.execute(_IDENTIFIER).fetchone() or (None,)
            sums = connection.execute("SHOW data_checksums").fetchone()
        seen.add(identifier)
        assert sums == ("on",)
        assert one.run("plan", "--exit-code").returncode == 0
    assert len(seen) == 2
    assert None not in seen


class Place:
    """A folder where `initdb` makes data folders and copies are kept."""

    def __init__(self, folder: Path) -> None:
        self.account = machine.account(None)
        self.folder = disk.folder(folder / "all", mode=0o711)
        self.kept = disk.private(self.folder / "kept", owner=self.account)
        self.work = disk.private(self.folder / "work", owner=self.account)
        found = programs.find("postgres", Cli.postgres or "17", None, None)
        if self.account is not None:
            found = copied.reachable(found, self.account.uid, SYSTEM / "programs", alone=False)
        self.bin = Path(found.folder)
        renewal = Renewal(
            "global/pg_control",
            identity.renew,
            (str(self.bin / "pg_resetwal"), "--pgdata={data}"),
            leave="pg_wal/0*",
        )
        self.unit = Unit(
            name="mng-pg",
            instance="postgres",
            engine="postgres",
            argv=(found.server,),
            files=(),
            prepare=(str(self.bin / "initdb"), "--pgdata={data}", "--no-sync"),
            renewal=renewal,
        )
        self.ran: list[str] = []

    def make(self, name: str) -> Path:
        """A data folder, finished; `ran` says by what."""
        fresh = disk.folder(self.folder / name, owner=self.account)
        self.ran.clear()
        preparation = Preparation(self.unit, self.account, self._begin, self.kept, "owner")
        preparation.make(fresh)
        preparation.finish()
        return fresh

    def _begin(self, argv: Sequence[str]) -> Started:
        self.ran.append(Path(argv[0]).name)
        log = self.folder / "log"
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        pidfile = self.work / "pid"
        with appending(log) as (sink, _):
            process = spawn(argv, pidfile=pidfile, log=sink, env=env, account=self.account)
        return Started(process, log, 0)

    def control(self, data: Path) -> dict[str, str]:
        """What pg_controldata says; it warns where the checksum is wrong."""
        done = subprocess.run(
            [self.bin / "pg_controldata", data], capture_output=True, text=True, check=True
        )
        assert "WARNING" not in done.stdout + done.stderr
        pairs = (line.split(":", 1) for line in done.stdout.splitlines())
        return {key: value.strip() for key, value in pairs}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for parent in [tmp_path, *tmp_path.parents]:  # pytest-xdist has one more
        parent.chmod(0o711)
        if parent.name.startswith("pytest-of-"):
            break
    return Place(tmp_path)


def test_a_copy_is_a_cluster_of_its_own(place: Place) -> None:
    first, second, third = (place.control(place.make(name)) for name in ("one", "two", "three"))
    assert "initdb" not in place.ran
    key = "Database system identifier"
    assert len({first[key], second[key], third[key]}) == 3
    for name in ("Database cluster state", "Database block size", "Data page checksum version"):
        assert first[name] == second[name] == third[name]


@pytest.mark.parametrize("file", ["global/pg_control", "PG_VERSION"])
def test_a_damaged_copy_is_not_used(place: Place, file: str) -> None:
    place.make("one")
    (kept,) = place.kept.iterdir()
    path = kept / file
    if file == "PG_VERSION":
        path.unlink()
    else:
        path.write_bytes(b"\0" + path.read_bytes()[1:])
    place.control(place.make("two"))
    assert "initdb" in place.ran
    # and the damaged one is replaced
    place.control(place.make("three"))
    assert "initdb" not in place.ran


def test_an_unfinished_copy_is_never_used(place: Place) -> None:
    place.make("one")
    (kept,) = place.kept.iterdir()
    kept.rename(place.kept / f".{kept.name}.owner")
    place.make("two")
    assert place.ran[0] == "initdb"
    assert [path.name for path in place.kept.iterdir()] == [kept.name]


def test_without_a_place_for_copies_it_is_made_as_ever(place: Place) -> None:
    place.kept.rmdir()
    place.kept = None  # type: ignore[assignment]
    place.control(place.make("one"))
    assert place.ran == ["initdb"]
