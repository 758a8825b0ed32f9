"""What an archive of a data folder may hold, and what happens to one that holds something else."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from mngdb.engines.postgres import base_backup, unpack
from mngdb.errors import MngdbError
from mngdb.snapshot import Saved, Taken


def _archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _unpacked(data: bytes, into: Path) -> None:
    unpack.tar(iter([data[at : at + 100] for at in range(0, len(data), 100)]), into, None)


def test_files_and_folders_are_written_as_they_were(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("./base")
    folder.type = tarfile.DIRTYPE
    _unpacked(_archive((folder, b""), (tarfile.TarInfo("./base/1"), b"x" * 3000)), tmp_path)
    assert (tmp_path / "base" / "1").read_bytes() == b"x" * 3000
    assert (tmp_path / "base" / "1").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["../outside", "/outside", "base/../../outside"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    into = tmp_path / "data"
    into.mkdir()
    with pytest.raises(MngdbError, match="outside of the data folder"):
        _unpacked(_archive((tarfile.TarInfo(name), b"x")), into)
    assert [one.name for one in tmp_path.rglob("*")] == ["data"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    link = tarfile.TarInfo("base")
    link.type, link.linkname = kind, "/etc"
    with pytest.raises(MngdbError, match="neither file nor directory"):
        _unpacked(_archive((link, b"")), tmp_path)


@pytest.mark.parametrize("name", ["/root/x", "../x", "1/../../x", "1\n2", ""])
def test_a_tablespace_is_a_number(tmp_path: Path, name: str) -> None:
    """It names folders, which are made and given away."""
    into = tmp_path / "state" / "data"
    into.mkdir(parents=True)

    class Forged:
        taken = Taken(
            kind="full", product="PostgreSQL", version="17", source="1", position={},
            notes={"tablespaces": {name: "/"}},
        )  # fmt: skip
        parents = ()
        names = ()

        def read(self, _: str) -> Iterator[bytes]:
            return iter([_archive()])

    with pytest.raises(MngdbError, match="no number"):
        base_backup._unpacked(cast(Any, None), cast(Saved, Forged()), into, None)
    assert {one.name for one in tmp_path.rglob("*")} <= {"state", "data", "backup_manifest"}


def test_one_that_is_cut_short_is_told(tmp_path: Path) -> None:
    data = _archive((tarfile.TarInfo("1"), b"x" * 5000))
    with pytest.raises(MngdbError):
        _unpacked(data[:3000], tmp_path)
