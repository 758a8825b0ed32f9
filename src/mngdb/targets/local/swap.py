"""Two servers' data folders in each other's place, with what a server has linked to beside its own
(PostgreSQL's tablespaces): those folders go along, or they would go with what was replaced."""

from __future__ import annotations

from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.targets.local import ownership
from mngdb.targets.local.layout import UnitFolder


def exchange(spare: UnitFolder, live: UnitFolder) -> bool:
    """Exchange the data of two stopped servers, of which `live` stays. Interrupted, nothing that
    its data links to is in the other one's folder, which may be removed. Returns whether `live` had
    any: else an empty folder takes its place, which is not taken back. Raises OSError,
    MngdbError."""
    if not any(spare.data.iterdir()):
        raise MngdbError(f"the data that {live.root.name} had was gone when it was replaced")
    had = live.data.exists()
    if not had:
        disk.folder(live.root, mode=spare.root.stat().st_mode & 0o777)
        disk.folder(live.data)
    _bring(spare.data, spare.root, live.root)
    disk.exchange(spare.data, live.data)
    _bring(spare.data, live.root, spare.root)
    return had


def _bring(data: Path, old: Path, new: Path) -> None:
    """Move folders of `old` that links in a data folder lead to, into `new`."""
    account = ownership.owner(data)
    with disk.acting(account):
        links = {path: path.readlink() for path in data.glob("*/*") if path.is_symlink()}
    for link, to in links.items():
        if not to.is_relative_to(old) or to.is_relative_to(data) or ".." in to.parts:
            continue
        inside = to.relative_to(old)
        top = old / inside.parts[0]
        if top.exists():  # several links may lead into one
            top.rename(new / top.name)
            disk.sync(new)
        fresh = link.with_name(f".{link.name}")
        with disk.acting(account):
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(new / inside)
            fresh.rename(link)
            disk.sync(link.parent)
