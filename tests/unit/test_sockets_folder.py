"""The folder of a server's sockets is in /tmp where its path would be too long."""

from __future__ import annotations

import shutil
from pathlib import Path

from mngdb.targets.local.layout import Layout


def test_what_somebody_put_in_its_place_is_passed_by(tmp_path: Path) -> None:
    servers = tmp_path / ("n" * 80) / "servers"
    servers.mkdir(parents=True)
    found = Layout(tmp_path, servers, None)
    usual = found.unit("mng-pg").sockets
    usual.symlink_to(tmp_path)
    try:
        other = found.prepare_unit("mng-pg", "postgres").sockets
    finally:
        usual.unlink()
    try:
        assert (other.is_dir(), other.parent, other != usual) == (True, usual.parent, True)
        assert found.unit("mng-pg").sockets == other
        assert found.prepare_unit("mng-pg", "postgres").sockets == other
    finally:
        shutil.rmtree(other)
