"""What is looked at on the machine that servers run on, for the checks `host.*`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from mngdb.findings import Seen
from mngdb.spec.base import EngineName


class Process(Struct, frozen=True):
    """A server's process, as the kernel has it."""

    uid: int
    """Whose rights it has (the effective user id)."""
    capabilities: int
    """Rights of root that it has all the same, as bits."""
    open_files: int
    processes: int
    """Its account's, its control group's included."""
    core: int
    """Bytes that a core dump may have."""
    huge_pages: bool
    """Whether the kernel may give it transparent huge pages unasked."""
    swapped: int
    """Bytes in swap, its children's included."""
    oom_adjustment: int
    """Above 0 the kernel kills it before others when memory runs out."""
    listening: tuple[str, ...]
    """Addresses that it takes TCP connections at."""
    replaced: str
    """The program that it runs, if that is no longer the file of its name; else empty."""


class Folder(Struct, frozen=True):
    """A data folder and the file system that it lies on. Shares are of 0 to 1."""

    path: str
    uid: int
    mode: int
    filesystem: str
    free: float
    free_bytes: int
    inodes_free: float | None
    """None: this file system makes inodes as they are needed."""
    closed: str = ""
    """Why it takes no new file, after its name."""
    mount: str = ""
    """Where the file system is mounted."""


class ServerFacts(Struct, frozen=True):
    """One server of ours."""

    engine: EngineName
    version: str
    uid: int
    """The account that servers of this stack run as."""
    process: Seen[Process]
    data: Seen[Folder]
    open_to_others: Seen[tuple[str, ...]]
    """Its files and folders that other accounts may look into."""
    bind: tuple[str, ...]
    """Addresses that the file names."""
    files: int
    """Open files that it needs for the clients that the file lets in."""
    tasks: int
    """Processes and threads that it has for them."""
    backlog: int
    """Connections that it lets wait."""
    somaxconn: int


class MachineFacts(Struct, frozen=True):
    """The machine, and what the stack's servers ask of it. Bytes."""

    memory: int
    """What there is for us: the machine's, or the tightest limit of a control group."""
    swap: int
    available: int
    """What is free now, or becomes free when it is needed."""
    overcommit: int
    """vm.overcommit_memory."""
    commit_left: int
    """What may still be promised in mode 2."""
    asked: Mapping[str, int]
    """Instance to the memory that the file gives it."""
    forking: Mapping[str, int]
    """As `asked`, of those that save by forking: Redis."""
    synchronized: Seen[bool] = Seen(missing="not asked")
    """Whether the kernel's clock is."""
    histories: Seen[tuple[str, ...]] = Seen(missing="not asked")
    """What is wrong with histories of clients, in words."""
    boot: str = ""
    """What starts the stack when the machine boots; empty: nothing."""
    boot_lost: str = ""
    """What was to start it, and does so no longer."""
    boots: bool = False
    """Whether systemd or cron are here, which could."""
