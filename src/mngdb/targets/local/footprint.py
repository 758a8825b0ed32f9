"""What the kernel says of the memory of a server's processes (proc(5): smaps_rollup)."""

from __future__ import annotations

from pathlib import Path

from mngdb.errors import UnobservableError
from mngdb.facts.memory import Footprint
from mngdb.targets.local.runner import LocalRunner

_PROC = Path("/proc")


def footprint(host: LocalRunner, unit: str) -> Footprint:
    """The processes of a unit together. Raises UnobservableError when it does not run, or is
    another account's."""
    process = host.process(unit)
    if process is None:
        raise UnobservableError(f"{unit} does not run")
    total = shared = swapped = 0
    own: dict[int, int] = {}
    for pid in process.family():
        sizes = _sizes(pid)
        if sizes is None:
            continue  # ended in between
        total += sizes["Pss"]
        shared += sizes["Pss_Shmem"]
        swapped += sizes["SwapPss"]
        own[pid] = sizes["Pss_Anon"]
    return Footprint(total, swapped, own, shared)


def _sizes(pid: int) -> dict[str, int] | None:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return None
    except PermissionError:
        raise UnobservableError(
            f"process {pid} belongs to another account: only root can inspect it"
        ) from None
    pairs = (line.split()[:2] for line in lines)
    return {name.removesuffix(":"): int(kilobytes) << 10 for name, kilobytes in pairs}
