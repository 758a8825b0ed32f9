"""The causes in the order in which a person would look.

Thresholds are those of the checks and of the alerts' catalogue; there are none of their own but for
locks, of which neither tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from mngdb.checks.doctor import backups, denied, locks
from mngdb.facts.doctor import LACKS, Condition, Refusal, Server, StackFacts, Trouble
from mngdb.facts.sessions import holders
from mngdb.room import NO_INODES, READ_ONLY
from mngdb.run import NOTHING
from mngdb.secret import app_of
from mngdb.words import many

_MB = 1 << 20
#: Of those who hold connections so many are named.
_CALLERS = 3
#: The alerts' rules whose thresholds count here too.
RULES = _DISK_FULL, _EXHAUSTED, _RESTARTING = (
    *("HostDiskFull", "PostgresConnectionsExhausted"),
    "UnitRestarting",
)
#: What the administrator of a server that is crashing is told when he asks: any other refusal came
#: from a server that works.
_CRASHING = {"down", "starting", "tls", "other"}
#: Kinds of refusals of the administrator that are troubles of their own.
_TOLD = {"limit", "secret", "unreachable", "damaged"}
#: Checks that tell of a trouble now; the others of `INCIDENTS` are for watching.
_WRONG = {
    "postgres.archive-healthy",
    "postgres.wraparound",
    "postgres.checksum-failures",
    "postgres.synchronous-standby",
    "redis.append-healthy",
    "redis.snapshot-healthy",
    "redis.replication",
    "mongodb.members-healthy",
    "mongodb.fsync-lock",
}
#: Checks that tell how a server fares, by engine; `host`: of the machine and of its processes.
INCIDENTS: dict[str, tuple[str, ...]] = {
    "postgres": (
        *("postgres.archive-healthy", "postgres.wraparound", "postgres.checksum-failures"),
        *("postgres.slots", "postgres.prepared", "postgres.vacuum-horizon"),
        *("postgres.connections", "postgres.idle-transactions", "postgres.restart-pending"),
        *("postgres.files-valid", "postgres.certificate", "postgres.synchronous-standby"),
        "postgres.search-path",
    ),
    "redis": (
        *("redis.append-healthy", "redis.snapshot-healthy", "redis.replication"),
        *("redis.memory-used", "redis.clients-used", "redis.clients-rejected"),
    ),
    "mongodb": (
        *("mongodb.members-healthy", "mongodb.fsync-lock", "mongodb.replication-lag"),
        *("mongodb.connections-used", "mongodb.queue", "mongodb.cache-pressure"),
        "mongodb.tls-certificate",
    ),
    "host": ("host.memory-left", "host.swap", "host.disk-free", "host.inodes-free"),
}


def _secrets(facts: StackFacts) -> Iterator[Trouble]:
    for wrong in facts.unusable_secrets:
        where = (wrong.instance,) if wrong.instance else ()
        command = wrong.hint or "'mngdb secret set NAME'"
        yield Trouble("secret", wrong.problem or "", command, where, wrong.app)


def _missing(facts: StackFacts) -> Iterator[Trouble]:
    """Secrets that `up` generates, where their disk has room."""
    new = all(one.condition and one.condition.state == "absent" for one in facts.servers)
    if not facts.missing_secrets or new:
        return
    names, count = ", ".join(facts.missing_secrets), len(facts.missing_secrets)
    text = f"{many(count, 'secret')} missing from the vault: {names}"
    if facts.vault_lacks:
        text += f"; 'mngdb up' cannot write them: {facts.vault_lacks}"
        full = tuple(one.instance for one in facts.servers if _is_full(one, facts))
        yield Trouble("secret-unwritten", text, "free space on it, then 'mngdb up'", full)
        return
    helps = "'mngdb up' generates them; 'mngdb secret set NAME' stores existing ones"
    yield Trouble("secret", text, helps)


def _is_full(server: Server, facts: StackFacts) -> bool:
    seen = server.disk.found
    return seen is not None and (bool(seen.closed) or seen.free <= 1 - facts.thresholds[_DISK_FULL])


def _disks(facts: StackFacts) -> Iterator[Trouble]:
    by_path: dict[tuple[str, int], list[Server]] = {}
    closed: dict[tuple[str, str], list[Server]] = {}
    for server in facts.servers:
        seen = server.disk.found
        refused = [one for one in server.logins if one.kind == "disk"]
        if seen is not None and seen.closed:
            closed.setdefault((_mount(seen.path), seen.closed), []).append(server)
        elif seen is not None and _is_full(server, facts):
            by_path.setdefault((_mount(seen.path), seen.free_bytes), []).append(server)
        elif refused:
            text = f"{refused[0].problem}"
            where = refused[0].hint or f"free space on the disk of {server.unit}"
            yield Trouble("disk-full", text, where, (server.instance,))
    for (path, what), servers in closed.items():
        names = tuple(one.instance for one in servers)
        text = f"the file system of {path} {what}: nothing can be written"
        yield Trouble("disk-closed", text, _OPENS[what].format(path=path), names)
    for (_, free), servers in by_path.items():
        seen = servers[0].disk.value
        text = f"the disk under {seen.path} is full: {free // _MB} MB left"
        names = tuple(one.instance for one in servers)
        yield Trouble(
            "disk-full", text, f"free space on it ('du -x {seen.mount}'), then 'mngdb up'", names
        )


def _logs(facts: StackFacts) -> Iterator[Trouble]:
    for server in facts.servers:
        if server.log is not None:
            text = f"{server.unit}: {server.log.text}"
            helps = f"free space on that disk ('du -x {server.log.folder}'): the agent needs room "
            helps += "for a copy, and leaves 64 MB to the servers"
            yield Trouble("log", text, helps, (server.instance,), watch=True)


#: What a file system lacks, to what helps.
_OPENS = {
    READ_ONLY: "'dmesg' shows the cause, often a failing disk; then remount it "
    "('mount -o remount,rw') and run 'mngdb up'",
    NO_INODES: "remove small files ('df -i {path}' shows the usage), then 'mngdb up'",
}


def _mount(path: str) -> str:
    """Units of one stack lie side by side: `…/servers/UNIT/data`."""
    return path.rsplit("/", 2)[0]


def _out_of_memory(facts: StackFacts) -> Iterator[Trouble]:
    for server in facts.servers:
        if server.condition and server.condition.out_of_memory:
            lately = server.condition.state == "running"
            text = f"{server.unit} was killed: it exceeded its memory limit"
            if lately:
                text = f"a process of {server.unit} was killed recently: the container exceeded "
                text += "its memory limit"
            command = (
                f"'mngdb memory {server.instance}' once it runs; {server.instance}: {{memory: …}}"
            )
            yield Trouble("out-of-memory", text, command, (server.instance,))
    for finding in facts.machine:
        if finding.id == "host.memory-left" and finding.verdict == "fail":
            text = f"the host is out of memory: {finding.evidence}"
            yield Trouble("out-of-memory", text, "'mngdb memory' shows what the servers use")


def _blocked(facts: StackFacts) -> Iterator[Trouble]:
    for server in facts.servers:
        if server.condition and server.condition.blocked:
            what = server.condition
            yield Trouble(
                "cannot-start", what.blocked, what.remedy or "mngdb up", (server.instance,)
            )


def _down(facts: StackFacts) -> Iterator[Trouble]:
    together: dict[tuple[str, str], list[Server]] = {}
    for server in facts.servers:
        what = server.condition
        if what is None or (what.state == "running" and not _dying(server, facts)):
            continue
        if what.state == "missing":
            continue  # that its data is missing says all
        alone = server.instance if what.blocked else ""
        if what.state in {"running", "restarting"}:
            text = _with_log(f"{server.unit} keeps crashing", what)
            yield Trouble("not-running", text, _starts(server, what), (server.instance,))
        elif what.state == "absent":
            together.setdefault(("not created yet", alone), []).append(server)
        elif what.interrupted:
            text = f"{server.unit} is not running: a restore was interrupted while it was stopped; "
            yield Trouble("not-running", text + what.interrupted, what.remedy, (server.instance,))
        elif what.in_order:
            together.setdefault(("stopped on request", alone), []).append(server)
        else:
            text = _with_log(f"{server.unit} is not running", what)
            yield Trouble("not-running", text, _starts(server, what), (server.instance,))
    for (what_of_them, _), servers in together.items():
        units = ", ".join(one.unit for one in servers)
        names = tuple(one.instance for one in servers)
        yield Trouble("not-running", f"{units}: {what_of_them}", "mngdb up", names)


#: What servers say of data that they cannot start with: `up` would fail the same way.
_DAMAGED = re.compile(
    r"Bad file format reading|Unrecoverable error reading the append only|Short read or OOM loading"
    r"|RDB CRC|Wrong signature trying|Can't handle RDB format|could not locate .*checkpoint record"
    r"|not a valid data directory|database files are incompatible|invalid .*checkpoint"
    r"|invalid data in file|WT_TRY_SALVAGE|WT_PANIC|featureCompatibilityVersion",
    re.IGNORECASE,
)


def _starts(server: Server, what: Condition) -> str:
    """What starts a server again that is not running."""
    if not _DAMAGED.search(what.said):
        return "mngdb up"
    return (
        f"'mngdb up' fails the same way. 'mngdb backups' lists what there is of it, 'mngdb restore "
        f"{server.instance} --latest --replace' brings it back and keeps the data that is there now"
    )


def _dying(server: Server, facts: StackFacts) -> bool:
    """Whether a server that was restarted again and again still does not work."""
    refused = server.refusal is not None and server.refusal.kind in _CRASHING
    # `up` has seen it work since
    told = server.crashes == ()
    return refused and not told and server.instance in _restarting(facts)


def _restarting(facts: StackFacts) -> set[str]:
    return {one.instance for one in facts.alerts if one.name == _RESTARTING}


def _crashed(facts: StackFacts) -> Iterator[Trouble]:
    """A crash that is over explains nothing, and is worth a look."""
    for server in facts.servers:
        if server.condition is None or server.condition.state != "running":
            continue
        if _dying(server, facts):
            continue
        name = server.instance
        text, command = f"{server.unit} was restarted repeatedly", f"mngdb logs {name}"
        if server.crashes is None:
            told = name in _restarting(facts)
        else:
            told = len(server.crashes) > facts.thresholds[_RESTARTING]
            times = many(len(server.crashes), "time")
            text = f"{server.unit} crashed and was restarted {times}"
            text += f", last at {server.crashes[-1]}" if told else ""
            command += f" shows why; 'mngdb up {name}' clears this"
        if told:
            yield Trouble("watch", text, command, (name,), watch=True)


def _with_log(text: str, what: Condition) -> str:
    if not what.said or what.said == NOTHING:
        return f"{text}; its log shows no cause: it was probably killed"
    return f"{text}; its log ends with: {what.said}"


def _frozen(facts: StackFacts) -> Iterator[Trouble]:
    for server in facts.servers:
        if server.condition and server.condition.frozen:
            text = f"{server.unit} is paused: it was stopped by a signal or by docker pause"
            yield Trouble("frozen", text, server.condition.frozen, (server.instance,))


def _unreachable(facts: StackFacts) -> Iterator[Trouble]:
    """What keeps mngdb from looking at servers at all: no way there, a damaged note of its own."""
    together: dict[Refusal, list[Server]] = {}
    for server in facts.servers:
        if server.refusal is not None and server.refusal.kind in {"unreachable", "damaged"}:
            together.setdefault(server.refusal, []).append(server)
    for refusal, servers in together.items():
        names, text = tuple(one.instance for one in servers), refusal.message
        if away := refusal.kind == "unreachable":
            text += f": the state of {', '.join(one.unit for one in servers)} is unknown"
        yield Trouble("unreachable" if away else "no-answer", text, refusal.hint, names)


def _silent(facts: StackFacts) -> Iterator[Trouble]:
    for server in facts.servers:
        runs = server.condition is None or (
            server.condition.state == "running" and not server.condition.frozen
        )
        refusal = server.refusal
        if not runs or refusal is None or refusal.kind in _TOLD:
            continue
        if refusal.kind in {"auth", "hba", "tls", "database", "library", "stranger", "quota"}:
            text = f"the admin login to {server.instance} fails: {refusal.message}"
            yield Trouble("admin-refused", text, refusal.hint or "mngdb up", (server.instance,))
        elif refusal.kind in ({"busy", "starting", "stopping"} if server.condition else {"busy"}):
            yield Trouble("no-answer", refusal.message, refusal.hint, (server.instance,))
        else:
            command = f"mngdb logs {server.instance}" if server.condition else refusal.hint
            text = f"{server.unit if server.condition else server.instance} does not respond"
            yield Trouble("no-answer", f"{text}: {refusal.message}", command, (server.instance,))


def _connections(facts: StackFacts) -> Iterator[Trouble]:
    for server in facts.servers:
        name = (server.instance,)
        if server.refusal is not None and server.refusal.kind == "limit":
            text = f"{server.refusal.message}: nobody can log in to see who holds them"
            command = "stop the app that holds them, or raise the limit"
            if server.callers:
                # a login is not needed to take a connection
                text += f"; from this machine: {', '.join(server.callers[:_CALLERS])}"
                command = "stop the process that holds the most; a higher limit fills up, too"
            yield Trouble("connections", text, command, name)
            continue
        found = server.sessions.found if server.sessions else None
        if found is None or not found.limit:
            continue
        most, total = holders(found), len(found.sessions)
        refused = sorted({one.app for one in server.logins if one.kind == "quota"})
        # where nothing is kept for administrators, they are refused at the limit, as apps are
        room: float = found.limit
        if found.reserved:
            room = (found.limit - found.reserved) * facts.thresholds[_EXHAUSTED]
        if most and total >= room:
            one = most[0]
            text = (
                f"{total} of {found.limit} connections to {server.instance} are in use, "
                f"{one.count} of them by {one.app}, {one.idle} idle"
            )
            app = app_of(one.app)
            command = f"mngdb connections {server.instance}; then restart {app} or fix its pool"
            yield Trouble("connections", text, command, name, app)
        for app in refused:
            held, idle = next(((o.count, o.idle) for o in most if app_of(o.app) == app), (0, 0))
            text = f"{app} has reached its connection limit on {server.instance}: {held}"
            then = f"apps: {{{app}: {{{server.instance}: {{… connections: …}}}}}}"
            if 2 * idle > held:
                text += f", {idle} idle"
                then = f"then restart {app} or fix its pool"
            command = f"mngdb connections {server.instance}; {then}"
            yield Trouble("app-limit", text, command, name, app)


def _memory(facts: StackFacts) -> Iterator[Trouble]:
    for server in facts.servers:
        refused = [one for one in server.logins if one.kind == "memory"]
        if refused:
            text = f"{server.instance} refuses writes: {refused[0].problem}"
            yield Trouble("memory-full", text, refused[0].hint or "mngdb up", (server.instance,))


def _logins(facts: StackFacts) -> Iterator[Trouble]:
    for server in facts.servers:
        for one in server.logins:
            if one.problem is not None and one.kind != LACKS:
                text = f"{one.app} cannot use {server.instance}: {one.problem}"
                command = one.hint or "mngdb up"
                cause = f"login-{one.kind or 'rights'}"
                yield Trouble(cause, text, command, (server.instance,), one.app)


def _lacks(facts: StackFacts) -> Iterator[Trouble]:
    """What the file asks for and the server has not, while the app works."""
    for server in facts.servers:
        for one in server.logins:
            if one.kind == LACKS and not denied.told_lack(server, one):
                text, where = f"{one.app} in {server.instance}: {one.problem}", (server.instance,)
                yield Trouble("login-lacks", text, one.hint or "mngdb plan", where, one.app)


def _unhealthy(facts: StackFacts) -> Iterator[Trouble]:
    """One that does not answer has a trouble of its own."""
    for server in facts.servers:
        if server.condition and server.condition.unhealthy and server.refusal is None:
            text = f"{server.unit} responds, but its health check fails: "
            command = f"mngdb up; if that does not help: mngdb restart {server.instance}"
            yield Trouble(
                "unhealthy", text + server.condition.unhealthy, command, (server.instance,)
            )


def _checks(facts: StackFacts) -> Iterator[Trouble]:
    every = [one for server in facts.servers for one in server.findings]
    for finding in [*every, *facts.machine]:
        if finding.verdict == "fail" and finding.id != "host.memory-left":
            milder = "machine" if finding.engine == "host" else "watch"
            yield Trouble(
                "check" if finding.id in _WRONG else milder,
                f"{finding.instance or 'the host'}: check failed: {finding.title} "
                f"({finding.evidence})",
                finding.remedy,
                (finding.instance,) if finding.instance else (),
                watch=finding.id not in _WRONG,
            )


def _forgotten(facts: StackFacts) -> Iterator[Trouble]:
    for server in facts.servers:
        found = server.sessions.found if server.sessions else None
        for one in holders(found) if found else ():
            if one.forgotten:
                text = (
                    f"{one.app} has {many(one.forgotten, 'session')} idle in transaction in "
                    f"{server.instance} for over a minute: they hold locks and hold back vacuum"
                )
                command = f"mngdb sessions {server.instance}"
                yield Trouble(
                    "watch", text, command, (server.instance,), app_of(one.app), watch=True
                )


#: State of a container to what changes it.
_MENDS = {"absent": "mngdb up", "stopped": "mngdb up", "halted": "docker unpause {name}"}


def _services(facts: StackFacts) -> Iterator[Trouble]:
    """A page that is closed is a trouble; that nobody measures will be one."""
    for one in facts.services:
        if one.problem is None or (one.state == "running" and one.health == "starting"):
            continue
        text = f"{one.name} {one.problem}"
        text += ": the page is unavailable" if one.page else ": its metrics are missing"
        command = _MENDS.get(one.state, f"mngdb logs {one.name}").format(name=one.name)
        cause = "page" if one.page else "watch"
        yield Trouble(cause, text, command, one.instances, watch=not one.page)


#: Alerts that count what is told of refusals anyway, to their causes.
_REFUSED = {
    **dict.fromkeys(("AccessRefused", "RedisAccessRefused"), "alert-denied"),
    **dict.fromkeys(("LoginsRefused", "RedisLoginsRefused"), "alert-login"),
}


#: Alerts on what was refused within the last minutes, of which doctor tries whether it still is.
_TRIED = {"RedisWritesRefused"}


def _alerts(facts: StackFacts) -> Iterator[Trouble]:
    forgotten = {one.instance for one in facts.servers if one.crashes == ()}
    works = {
        one.instance
        for one in facts.servers
        if one.logins and all(login.problem is None for login in one.logins)
    }
    for one in facts.alerts:
        if one.name == _RESTARTING and one.instance not in forgotten:
            continue
        where = (one.instance,) if one.instance else ()
        over = one.name in _TRIED and one.instance in works
        watch = over or one.severity != "critical"
        text = f"alert {one.name} is firing: {one.summary}"
        if over:
            text = f"alert {one.name} is still firing: {one.instance} takes writes again"
        yield Trouble(
            _REFUSED.get(one.name) or ("watch" if watch else "alert"),
            text,
            "see its chapter in 'mngdb render runbooks'",
            where,
            watch=watch,
        )


def _agent(facts: StackFacts) -> Iterator[Trouble]:
    """What explains that no server runs explains the agent, too."""
    found = facts.agent
    if found is None:
        return
    if found.works:
        yield Trouble("watch", found.text, "mngdb up", watch=True)
        return
    text = f"{found.unit}: {found.text}: no alerts, no metrics, no automatic restarts"
    again = "mngdb up; if it stops again: mngdb logs agent"
    command = f"{found.remedy}; then mngdb up" if found.remedy else again
    yield Trouble("agent", text, command, tuple(one.instance for one in facts.servers))


#: In the order in which a person would look.
FINDERS: tuple[Callable[[StackFacts], Iterable[Trouble]], ...] = (
    _secrets,
    _disks,
    _missing,
    _out_of_memory,
    _blocked,
    _unreachable,
    _down,
    _frozen,
    _silent,
    locks.blocking,
    _connections,
    _memory,
    _checks,
    _logins,
    denied.refused,
    _lacks,
    _agent,
    backups.lost_secrets,
    backups.unstored,
    _unhealthy,
    denied.unfinished,
    _services,
    _forgotten,
    _alerts,
    _crashed,
    _logs,
)
