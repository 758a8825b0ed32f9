"""What has to be true of the machine under the servers.

Sources: the requirements; redis.io "administration" and "latency"; the MongoDB manual's "UNIX
ulimit Settings" and "Production Notes"; the PostgreSQL manual's "Managing Kernel Resources" (18.4)
and "The PostgreSQL User Account" (18.1).
"""

from __future__ import annotations

from mngdb.checks.catalogue import checks
from mngdb.facts.host import MachineFacts, ServerFacts
from mngdb.findings import Check, Judgement, judged, listed, not_applicable
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.words import numbers

_MB = 1 << 20
#: Gone after a restart, or able to forget a write that was synced.
_UNSAFE = {"tmpfs", "ramfs", "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "vboxsf"}
#: Processes and threads of a server beside those for clients.
_WORKERS = 200
_LOOPBACK = ("127.", "::1", "::ffff:127.")


def _account(facts: ServerFacts) -> Judgement:
    found = facts.process.value.uid
    return judged(found != 0, f"user id {found}" + ("" if found else ": root"))


def _capabilities(facts: ServerFacts) -> Judgement:
    found = facts.process.value.capabilities
    return judged(found == 0, f"capabilities {found:x}")


def _data_private(facts: ServerFacts) -> Judgement:
    found = facts.data.value
    others = 0o027 if ENGINE_INFO[facts.engine].group_reads else 0o077
    good = found.uid == facts.uid and not found.mode & others
    return judged(good, f"{found.path}: mode {found.mode:o}, of user id {found.uid}")


def _filesystem(facts: ServerFacts) -> Judgement:
    found = facts.data.value
    return judged(found.filesystem not in _UNSAFE, f"{found.path} is on {found.filesystem}")


def _free(facts: ServerFacts) -> Judgement:
    found = facts.data.value
    return judged(found.free >= 0.2, f"{found.free:.0%} free, {found.free_bytes // _MB} MB")


def _inodes(facts: ServerFacts) -> Judgement:
    found = facts.data.value
    if found.inodes_free is None:
        return not_applicable(f"{found.filesystem} allocates inodes dynamically")
    return judged(found.inodes_free >= 0.2, f"{found.inodes_free:.0%} free")


def _open_files(facts: ServerFacts) -> Judgement:
    found = facts.process.value.open_files
    return judged(found >= facts.files, f"limit {found}, needed {facts.files}")


def _processes(facts: ServerFacts) -> Judgement:
    needed = _WORKERS + facts.tasks
    found = facts.process.value.processes
    said = "no limit" if found >= 1 << 62 else f"limit {found}"
    return judged(found >= needed, f"{said}, needed {needed}")


def _core(facts: ServerFacts) -> Judgement:
    found = facts.process.value.core
    return judged(found == 0, "none" if found == 0 else "core dumps are enabled")


def _huge_pages(facts: ServerFacts) -> Judgement:
    info = ENGINE_INFO[facts.engine]
    if info.huge_pages == 0:
        return not_applicable(f"does not apply to {info.title}")
    if info.huge_pages and (numbers(facts.version) or (info.huge_pages,)) >= (info.huge_pages,):
        named = facts.version or "none"
        since = f"from version {info.huge_pages}"
        return not_applicable(f"{info.title} uses them {since}; the file asks for {named}")
    found = facts.process.value.huge_pages
    return judged(not found, "always" if found else "never, or madvise")


def _swap(facts: ServerFacts) -> Judgement:
    found = facts.process.value.swapped
    return judged(found < _MB, f"{found // _MB} MB in swap")


def _oom(facts: ServerFacts) -> Judgement:
    found = facts.process.value.oom_adjustment
    return judged(found <= 0, f"oom_score_adj {found}")


def _backlog(facts: ServerFacts) -> Judgement:
    good = facts.somaxconn >= facts.backlog
    return judged(good, f"somaxconn {facts.somaxconn}, the server's backlog is {facts.backlog}")


def _listening(facts: ServerFacts) -> Judgement:
    found = facts.process.value.listening
    strangers = [
        address
        for address in found
        if not address.startswith(_LOOPBACK) and address not in facts.bind
    ]
    return listed(strangers, f"at {', '.join(found) or 'no address'} only")


def _current(facts: ServerFacts) -> Judgement:
    found = facts.process.value.replaced
    return judged(
        not found, f"{found} was replaced" if found else "the program is the installed one"
    )


def _memory_fits(facts: MachineFacts) -> Judgement:
    total = sum(facts.asked.values())
    parts = ", ".join(f"{name} {size // _MB} MB" for name, size in facts.asked.items())
    said = f"{total // _MB} of {facts.memory // _MB} MB ({parts})"
    return judged(total <= 0.9 * facts.memory, said)


def _memory_left(facts: MachineFacts) -> Judgement:
    share = facts.available / facts.memory
    return judged(share >= 0.05, f"{facts.available // _MB} MB, {share:.0%}")


def _fork(facts: MachineFacts) -> Judgement:
    if not facts.forking:
        return not_applicable("the stack has no Redis")
    most = max(facts.forking.values())
    said = f"vm.overcommit_memory {facts.overcommit}, the largest Redis uses {most // _MB} MB"
    if facts.overcommit == 1:
        return judged(True, said)
    # 0 refuses what can never fit; 2 refuses what was not set aside for it
    room = facts.memory + facts.swap if facts.overcommit == 0 else facts.commit_left
    return judged(most < room, f"{said}, available {room // _MB} MB")


def _boot(facts: MachineFacts) -> Judgement:
    if not (facts.boot or facts.boot_lost or facts.boots):
        return not_applicable("in a container: its start command has to run 'mngdb up --boot'")
    nothing = facts.boot_lost or "no enabled unit and no @reboot line"
    return judged(bool(facts.boot), facts.boot or nothing)


def _clock(facts: MachineFacts) -> Judgement:
    good = facts.synchronized.value
    return judged(good, "synchronized" if good else "the kernel's clock is not synchronized")


SERVER: tuple[Check[ServerFacts], ...] = checks(
    __file__,
    {
        "host.account": _account,
        "host.capabilities": _capabilities,
        "host.data-private": _data_private,
        "host.data-filesystem": _filesystem,
        "host.disk-free": _free,
        "host.inodes-free": _inodes,
        "host.open-files": _open_files,
        "host.processes": _processes,
        "host.core-dumps": _core,
        "host.huge-pages": _huge_pages,
        "host.swap": _swap,
        "host.oom-victim": _oom,
        "host.backlog": _backlog,
        "host.listening": _listening,
        "host.files-private": lambda facts: listed(
            facts.open_to_others.value, "configuration, sockets and log are private"
        ),
        "host.program-current": _current,
    },
)
MACHINE: tuple[Check[MachineFacts], ...] = checks(
    __file__,
    {
        "host.boot": _boot,
        "host.memory-fits": _memory_fits,
        "host.memory-left": _memory_left,
        "host.fork": _fork,
        "host.clock": _clock,
        "host.history-files": lambda facts: listed(facts.histories.value, "private, no password"),
    },
)
CHECKS = (*SERVER, *MACHINE)
