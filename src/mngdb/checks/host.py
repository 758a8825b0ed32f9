"""What has to be true of the machine under the servers.

Sources: the requirements; redis.io "administration" and "latency"; the MongoDB manual's "UNIX
ulimit Settings" and "Production Notes"; the PostgreSQL manual's "Managing Kernel Resources" (18.4)
and "The PostgreSQL User Account" (18.1).
"""

from __future__ import annotations

from mngdb.facts.host import MachineFacts, ServerFacts
from mngdb.findings import Check, Judgement, judged, listed, no_matter

_MB = 1 << 20
#: Gone after a restart, or able to forget a write that was synced.
_UNSAFE = {"tmpfs", "ramfs", "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "vboxsf"}
#: MongoDB's manual asks for 64000 where clients have no limit; the file gives them one, and this
#: many are then left for the data.
_MONGODB_FILES, _MONGODB_FILES_OF_DATA = 64_000, 16_000
#: PostgreSQL opens up to max_files_per_process (1000) in each of its processes.
_POSTGRES_FILES = 1024
#: Files that Redis keeps for itself beside one for each client.
_REDIS_FILES = 32
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
    # PostgreSQL's own group may read, where initdb was told so
    others = 0o027 if facts.engine == "postgres" else 0o077
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
        return no_matter(f"{found.filesystem} makes inodes as they are needed")
    return judged(found.inodes_free >= 0.2, f"{found.inodes_free:.0%} free")


def _open_files(facts: ServerFacts) -> Judgement:
    needed = {
        "redis": facts.clients + _REDIS_FILES,
        "postgres": _POSTGRES_FILES,
        "mongodb": min(_MONGODB_FILES, facts.clients + _MONGODB_FILES_OF_DATA),
    }[facts.engine]
    found = facts.process.value.open_files
    return judged(found >= needed, f"{found} may be open, {needed} are needed")


def _processes(facts: ServerFacts) -> Judgement:
    # Redis serves all clients in one thread; PostgreSQL has a process, MongoDB a thread for each
    needed = _WORKERS + (0 if facts.engine == "redis" else facts.clients)
    found = facts.process.value.processes
    said = "no limit" if found >= 1 << 62 else f"limit {found}"
    return judged(found >= needed, f"{said}, {needed} are needed")


def _core(facts: ServerFacts) -> Judgement:
    found = facts.process.value.core
    return judged(found == 0, "none" if found == 0 else "a crash writes its memory to a file")


def _huge_pages(facts: ServerFacts) -> Judgement:
    if facts.engine == "postgres":
        return no_matter("PostgreSQL does not suffer from them")
    if facts.engine == "mongodb" and facts.version.split(".")[0] not in {"4", "5", "6", "7"}:
        named = facts.version or "none"
        return no_matter(f"MongoDB wants them from version 8 on; the file names {named}")
    found = facts.process.value.huge_pages
    return judged(not found, "given unasked" if found else "off for this process, or on request")


def _swap(facts: ServerFacts) -> Judgement:
    found = facts.process.value.swapped
    return judged(found < _MB, f"{found // _MB} MB of it in swap")


def _oom(facts: ServerFacts) -> Judgement:
    found = facts.process.value.oom_adjustment
    return judged(found <= 0, f"oom_score_adj {found}")


def _backlog(facts: ServerFacts) -> Judgement:
    good = facts.somaxconn >= facts.backlog
    return judged(good, f"somaxconn {facts.somaxconn}, the server lets {facts.backlog} wait")


def _listening(facts: ServerFacts) -> Judgement:
    found = facts.process.value.listening
    strangers = [
        address
        for address in found
        if not address.startswith(_LOOPBACK) and address not in facts.bind
    ]
    return listed(strangers, f"at {', '.join(found) or 'no address'} only")


def _private_files(facts: ServerFacts) -> Judgement:
    return listed(facts.open_to_others.value, "its files, sockets and log are its own")


def _current(facts: ServerFacts) -> Judgement:
    found = facts.process.value.replaced
    return judged(not found, f"{found} was replaced" if found else "it is the one on the disk")


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
        return no_matter("there is no Redis")
    most = max(facts.forking.values())
    said = f"vm.overcommit_memory {facts.overcommit}, the largest Redis has {most // _MB} MB"
    if facts.overcommit == 1:
        return judged(True, said)
    # 0 refuses what can never fit; 2 refuses what was not set aside for it
    room = facts.memory + facts.swap if facts.overcommit == 0 else facts.commit_left
    return judged(most < room, f"{said}, and there is room for {room // _MB} MB")


def _boot(facts: MachineFacts) -> Judgement:
    if not (facts.boot or facts.boot_lost or facts.boots):
        return no_matter("a container: what starts it has to run 'mngdb up --boot'")
    nothing = facts.boot_lost or "no enabled unit and no @reboot line names it"
    return judged(bool(facts.boot), facts.boot or nothing)


_AS_MNGDB = "'mngdb up' as root lets servers run as the account mngdb"
_RESTART = "mngdb down && mngdb up, from where the limit is higher"

SERVER: tuple[Check[ServerFacts], ...] = (
    Check(
        "host.account",
        "it does not run as root",
        "critical",
        _account,
        "an account of its own",
        _AS_MNGDB,
        ("PostgreSQL 18.1", "redis.io: security"),
    ),
    Check(
        "host.capabilities",
        "it has no right of root",
        "high",
        _capabilities,
        "no capability",
        _AS_MNGDB,
        ("redis.io: security", "capabilities(7)"),
    ),
    Check(
        "host.data-private",
        "its data belongs to it alone",
        "critical",
        _data_private,
        "mode 0700, owned by the server's account",
        "chmod 700 FOLDER; chown mngdb: FOLDER",
        ("PostgreSQL 18.2", "redis.io: security"),
    ),
    Check(
        "host.data-filesystem",
        "its data survives a restart, and a sync means one",
        "critical",
        _filesystem,
        "a disk of this machine; no memory, no network share",
        "target: {local: {data: FOLDER}}, on a disk",
        ("PostgreSQL 18.2", "MongoDB: Production Notes", "A10"),
    ),
    Check(
        "host.disk-free",
        "there is room on its disk",
        "high",
        _free,
        "20 % free or more",
        "a larger disk, or less on it",
        ("B11", "guide: MongoDB 6"),
    ),
    Check(
        "host.inodes-free",
        "there is room for more files on its disk",
        "medium",
        _inodes,
        "20 % of the inodes free or more",
        "remove small files there; 'df -i' shows how many",
        ("B11", "guide: MongoDB 6"),
    ),
    Check(
        "host.open-files",
        "it may open as many files as its clients need",
        "high",
        _open_files,
        "Redis: clients + 32; MongoDB: clients + 16000, at most 64000; PostgreSQL: 1024",
        f"ulimit -n 64000, then {_RESTART}",
        ("B17", "MongoDB: UNIX ulimit Settings", "redis.io: clients", "PostgreSQL 18.4"),
    ),
    Check(
        "host.processes",
        "it may have as many processes as its clients need",
        "medium",
        _processes,
        "a limit above the clients that it lets in (ulimit -u, and the control group's pids.max)",
        f"ulimit -u 64000, then {_RESTART}",
        ("MongoDB: UNIX ulimit Settings", "PostgreSQL 18.4"),
    ),
    Check(
        "host.core-dumps",
        "a crash does not write its memory, and the secrets in it, to a file",
        "medium",
        _core,
        "no core dumps",
        "mngdb down && mngdb up: it starts servers without",
        ("core(5)", "B12"),
    ),
    Check(
        "host.huge-pages",
        "transparent huge pages do not slow it down",
        "medium",
        _huge_pages,
        "off for the process, or madvise",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled; mngdb down && mngdb up",
        ("redis.io: latency", "MongoDB: Production Notes"),
    ),
    Check(
        "host.swap",
        "it lies in memory, not in swap",
        "high",
        _swap,
        "less than 1 MB in swap",
        "more memory, or less for the servers: memory: in the file",
        ("redis.io: latency", "MongoDB: Production Notes"),
    ),
    Check(
        "host.oom-victim",
        "the kernel does not kill it before others",
        "medium",
        _oom,
        "oom_score_adj 0 or below",
        "start it from a service or a login of the system, not from a desktop",
        ("PostgreSQL 18.4",),
    ),
    Check(
        "host.backlog",
        "the kernel lets as many connections wait as the server does",
        "medium",
        _backlog,
        "net.core.somaxconn at least the server's backlog",
        "sysctl -w net.core.somaxconn=4096, and a file in /etc/sysctl.d",
        ("redis.io: clients", "MongoDB: Production Notes"),
    ),
    Check(
        "host.listening",
        "its process listens nowhere but where the file says",
        "critical",
        _listening,
        "loopback, or the addresses of bind",
        "mngdb up; then 'mngdb down && mngdb up' if it still does",
        ("A11", "B14", "guide: Redis 1"),
    ),
    Check(
        "host.files-private",
        "its configuration, sockets and log are nobody else's to read",
        "high",
        _private_files,
        "files 0600; folders that others cannot list",
        "chmod go-rwx FILE",
        ("A5", "redis.io: security"),
    ),
    Check(
        "host.program-current",
        "it runs the program that is on the disk",
        "medium",
        _current,
        "no upgrade since it started",
        "mngdb down && mngdb up: a fix is in force when the server was restarted",
        ("A1", "PostgreSQL 18.6"),
    ),
)
MACHINE: tuple[Check[MachineFacts], ...] = (
    Check(
        "host.boot",
        "the stack comes back when the machine boots",
        "medium",
        _boot,
        "an enabled unit of systemd, or a line @reboot of cron",
        "'mngdb enable'",
        ("B17", "PostgreSQL 18.3"),
    ),
    Check(
        "host.memory-fits",
        "what the servers may take together fits into the memory",
        "high",
        _memory_fits,
        "at most 90 % of the memory there is; a container's limit counts",
        "smaller shares: postgres: {memory: 15%}, redis: {memory: 40%}",
        ("B16", "guide: Redis 3", "PostgreSQL 18.4"),
    ),
    Check(
        "host.memory-left",
        "there is memory left right now",
        "high",
        _memory_left,
        "5 % or more available",
        "'mngdb status' shows what each server has; what else runs here?",
        ("B16", "MongoDB: Production Notes"),
    ),
    Check(
        "host.fork",
        "the kernel lets Redis fork, to save",
        "high",
        _fork,
        "vm.overcommit_memory 1, or memory enough for the largest Redis",
        "sysctl -w vm.overcommit_memory=1, and a file in /etc/sysctl.d",
        ("B15", "redis.io: administration"),
    ),
)
CHECKS = (*SERVER, *MACHINE)
