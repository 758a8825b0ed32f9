"""Programs copied to where the servers' account can run them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from msgspec.structs import replace

from mngdb import disk
from mngdb.model import Program


def reachable(program: Program, uid: int, copies: Path, *, alone: bool) -> Program:
    """The program, or a copy of it in `copies` where another account can run it.

    A virtual environment under a home of mode 0700 is out of that account's reach. `alone`: the
    program works without the rest of its installation.
    """
    path = Path(program.server)
    if all(_open_to(one, uid) for one in (path, *path.parents)):
        return program
    parts, inner = _parts(path, whole=not alone)
    target = copies / f"{program.product.lower()}-{program.version}-{int(path.stat().st_mtime)}"
    disk.folder(copies, mode=0o755)
    with disk.alone(copies / "lock"):
        # other stacks and threads come here too
        if not (target / inner).is_file():
            _copy(parts, target)
    server = target / inner
    return replace(program, server=str(server), folder=str(server.parent))


def _parts(server: Path, *, whole: bool) -> tuple[dict[str, Path], Path]:
    """What is to be copied, by its place in the copy, and where the server is then."""
    if not whole:
        return {server.name: server}, Path(server.name)
    root = server.parent.parent
    # a wheel's own libraries lie beside its package, and its programs look for them there
    libraries = root.parent.with_name(f"{root.parent.name}.libs")
    if not libraries.is_dir():
        return {".": root}, server.relative_to(root)
    place = f"{root.parent.name}/{root.name}"
    return {place: root, libraries.name: libraries}, Path(place, server.relative_to(root))


def _copy(parts: dict[str, Path], target: Path) -> None:
    for left in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(left)  # of a command that was killed
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    for place, source in parts.items():
        if source.is_dir():
            ignore = shutil.ignore_patterns("*.a", "include", "pgxs")
            shutil.copytree(source, fresh / place, symlinks=True, ignore=ignore)
        else:
            fresh.mkdir(mode=0o755)
            shutil.copy2(source, fresh / place)
    for found in [fresh, *fresh.rglob("*")]:
        if not found.is_symlink():
            found.chmod(0o755)
    os.sync()  # half a program under its final name would stay for ever
    fresh.replace(target)


def _open_to(path: Path, uid: int) -> bool:
    stat = path.stat()
    return bool(stat.st_mode & 0o001) or (stat.st_uid == uid and bool(stat.st_mode & 0o100))
