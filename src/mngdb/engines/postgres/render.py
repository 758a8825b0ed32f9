"""Files and settings of a PostgreSQL server. Pure.

The values follow PostgreSQL's manual (chapters 19 and 28) and requirements A10 and A11; those that
depend on memory are computed from what there is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from mngdb.engines.postgres import identity, maintenance, monitor
from mngdb.model import DesiredInstance, File, Renewal, Site, TlsFiles, Unit
from mngdb.release import Data, Release, Unreadable
from mngdb.secret import SECOND
from mngdb.spec.agent import MONITOR
from mngdb.spec.postgres import RESERVED, RESERVED_MONITOR, PostgresGrant, PostgresInstance

ADMIN = "postgres"
#: The login of a restore of a part, while that is made.
RESTORER = "mngdb_restoring"
#: The setting by which commits wait for the store.
AWAITED = "synchronous_standby_names"
#: Columns of a session's ID in the log.
SESSION = 30
#: How lines of the log begin. Clients choose the names, which may have line breaks: the SQLSTATE
#: stands before them, and all that does takes more than the 63 bytes of a name, so that none has
#: room for the begin of a line. That of a program is between tabs: PostgreSQL leaves nothing in it
#: but printable ASCII.
PREFIX = f"%m [%p] %q%-{SESSION}c %e %u@%d\t%a\t"
#: The name in pg_ident.conf of those who may administer over the socket.
_MAP = "mngdb"
#: The major version whose pg_hba.conf takes regular expressions.
_PATTERNS = 16
_MB = 1 << 20
#: The longest name that PostgreSQL takes.
_LONGEST = 63


def settings(asked: DesiredInstance) -> dict[str, str]:
    """Name to value for everything that mngdb sets; the file's own settings come last."""
    spec = cast(PostgresInstance, asked.instance.spec)
    if asked.site is None:
        return dict(spec.settings)
    site = asked.site
    wanted = {
        **_network(asked, site, spec),
        **_memory(asked.instance.memory.of(site.memory), site.memory, spec.max_connections),
        # durability, pinned so that a stray ALTER SYSTEM shows
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        **_awaited(asked),
        # write-ahead log: ready for archiving, incremental backups and replicas
        "wal_level": "replica",
        # lz4 takes a quarter of pglz's time: CREATE DATABASE logs whole pages
        "wal_compression": "pglz" if "lz4" in site.program.lacks else "lz4",
        "summarize_wal": "on",
        "max_wal_senders": "10",
        "max_replication_slots": "10",
        "max_slot_wal_keep_size": _slot_limit(asked, site),
        "min_wal_size": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        # disks of today are not spinning
        "random_page_cost": "1.1",
        "effective_io_concurrency": "200",
        "autovacuum": "on",
        "track_io_timing": "on",
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.max": "10000",
        "pg_stat_statements.track": "top",
        "password_encryption": "scram-sha-256",
        # what went wrong has to stand in the log
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_line_prefix": PREFIX,
        "log_timezone": asked.instance.timezone,
        "log_lock_waits": "on",
        "deadlock_timeout": "1s",
        "log_min_duration_statement": f"{int(spec.slow.total_seconds() * 1000)}ms",
        "log_checkpoints": "on",
        "log_connections": "on",
        "log_disconnections": "on",
        "log_temp_files": "10MB",
        "log_autovacuum_min_duration": "1min",
        "log_replication_commands": "on",
        # several apps share one disk
        "temp_file_limit": "10GB",
        "timezone": "UTC",
    }
    major = _major(site)
    if major < 17:
        del wanted["summarize_wal"]
    if major < 16:
        del wanted["reserved_connections"]
        wanted["superuser_reserved_connections"] = str(RESERVED)
    if major < 15:
        wanted["wal_compression"] = "on"  # pglz, when it was the only one
    if major < 14:
        del wanted["client_connection_check_interval"]
    return wanted | spec.settings


def slot(asked: DesiredInstance) -> str:
    """What the replication slot is called by which the agent follows the log, and so the agent."""
    found = f"mngdb_{asked.stack}__{asked.instance.name}".replace("-", "_")
    if len(found) <= _LONGEST:
        return found
    return f"{found[: _LONGEST - 9]}_{hashlib.sha256(found.encode()).hexdigest()[:8]}"


def _awaited(asked: DesiredInstance) -> dict[str, str]:
    """What each commit waits for, whatever becomes of the agent."""
    strict = asked.instance.recovery_point == "strict"
    return {AWAITED: slot(asked)} if strict else {}


def _slot_limit(asked: DesiredInstance, site: Site) -> str:
    """WAL that a slot whose reader is away may keep. The archive's reader can be away for days, as
    its store is: a tenth of the disk then, so that the data stops for want of space in no case."""
    tenth = site.disk // 10 >> 30
    limit = min(10, max(1, tenth)) if asked.instance.archived and site.disk else 10
    return f"{limit}GB"


def _network(asked: DesiredInstance, site: Site, spec: PostgresInstance) -> dict[str, str]:
    network = {
        "listen_addresses": ",".join(asked.listen),
        "port": str(spec.port),
        "unix_socket_directories": site.run,
        "unix_socket_permissions": "0700",
        "hba_file": f"{site.conf}/pg_hba.conf",
        "ident_file": f"{site.conf}/pg_ident.conf",
        "max_connections": str(spec.max_connections),
        "superuser_reserved_connections": str(RESERVED - RESERVED_MONITOR),
        "reserved_connections": str(RESERVED_MONITOR),
        "authentication_timeout": "10s",  # who only opens connections keeps others out so long
        "client_connection_check_interval": "10s",
        "ssl": "on" if asked.instance.tls else "off",
    }
    if asked.instance.tls and site.tls is not None:
        network |= {
            "ssl_ca_file": site.tls.ca,
            "ssl_cert_file": site.tls.own,
            "ssl_key_file": key(site, site.tls),
            "ssl_min_protocol_version": "TLSv1.2",
        }
    return network


def key(site: Site, tls: TlsFiles) -> str:
    """Where the server reads its key. It refuses one of somebody else's, or that others may read,
    as mounted files can be, so in a container it gets a copy."""
    return f"{site.run}/tls.key" if site.tunnel else tls.own


def _memory(buffers: int, total: int, connections: int) -> dict[str, str]:
    """`buffers` is the instance's share, `total` what there is, both in bytes."""
    buffers_mb = max(16, buffers // _MB)
    total_mb = total // _MB
    return {
        "shared_buffers": f"{buffers_mb}MB",
        "effective_cache_size": f"{max(buffers_mb, min(buffers_mb * 3, total_mb * 3 // 4))}MB",
        "maintenance_work_mem": f"{min(1024, max(64, buffers_mb // 8))}MB",
        # a hash takes twice of it: those of all connections, as much as the cache
        "work_mem": f"{min(64, max(4, buffers_mb // (2 * connections)))}MB",
        "wal_buffers": "16MB",
    }


def unit(asked: DesiredInstance) -> Unit:
    """The server as a unit. Needs a site."""
    if asked.site is None:
        raise ValueError("a server that somebody else runs has no unit")
    site = asked.site
    initdb = [
        f"{site.program.folder}/initdb",
        "--pgdata={data}",
        f"--username={ADMIN}",
        "--auth-local=peer",
        "--auth-host=reject",
        "--data-checksums",
        "--encoding=UTF8",
        "--locale=C.UTF-8" if _major(site) < 17 else "--locale=C",
        "--no-instructions",
        "--no-sync",  # the target does, while the server starts
    ]
    if _major(site) >= 17:
        # does not change its order when the system's C library does
        initdb += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return Unit(
        name=asked.instance.unit,
        instance=asked.instance.name,
        engine="postgres",
        argv=(
            site.program.server,
            "-D",
            site.data,
            "-c",
            f"config_file={site.conf}/postgresql.conf",
        ),
        files=(
            File("postgresql.conf", _conf(settings(asked))),
            File("pg_hba.conf", hba(asked)),
            File("pg_ident.conf", _ident(site)),
        ),
        prepare=tuple(initdb),
        renewal=Renewal(
            "global/pg_control",
            identity.renew,
            (f"{site.program.folder}/pg_resetwal", "--pgdata={data}"),
            leave="pg_wal/0*",
        ),
        # -C reads the whole file and every value in it; -D has to be a folder, no more
        verify=(
            site.program.server,
            *("-C", "config_file", "-D", "{conf}", "-c", "config_file={conf}/postgresql.conf"),
        )
        if asked.instance.spec.settings
        else (),
        holds=("PG_VERSION",),
        data=Data(("PG_VERSION",), partial(_unreadable, _major(site))),
    )


def _unreadable(major: int, heads: Sequence[bytes], last: Release | None) -> Unreadable | None:
    """A major version reads its own files alone; minor ones read each other's."""
    wrote = heads[0].decode(errors="replace").strip() if heads else ""
    if not wrote and last is not None:
        wrote = last.version.split(".")[0]
    if wrote in {"", str(major)}:
        return None
    return Unreadable(
        f"PostgreSQL {wrote}",
        "run the version that wrote it, or bring the data over by dump and restore",
    )


def _major(site: Site) -> int:
    return int(site.program.version.split(".")[0])


def _conf(wanted: Mapping[str, str]) -> str:
    lines = [f"{name} = {quote(value)}" for name, value in wanted.items()]
    return "# written by mngdb; what 'mngdb up' finds changed here it writes anew\n" + (
        "\n".join(lines) + "\n"
    )


def quote(value: str) -> str:
    """A setting's value or a text constant in single quotes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _name(value: str) -> str:
    """A database or role in pg_hba.conf; in quotes, no word has a meaning of its own."""
    return '"' + value.replace('"', '""') + '"'


def _places(asked: DesiredInstance, right: PostgresGrant) -> str:
    """The databases of an app's line. One whose names only the app knows is kept to its own by
    CONNECT alone, and so is one of prefixes before PostgreSQL 16, which knows no patterns here."""
    version = asked.site.program.version.partition(".")[0] if asked.site else ""
    if right.create_databases or (right.prefixes and int(version or 0) < _PATTERNS):
        return "all"
    begins = ["/^" + re.sub(r"(\W)", r"\\\1", one) for one in right.prefixes]
    return ",".join(map(_name, [*right.names, *begins, maintenance.NAME]))


def hba(asked: DesiredInstance) -> str:
    """One line for each right; whatever has no line is refused."""
    kind = "hostssl" if asked.instance.tls else "host"
    sources = here = ["127.0.0.1/32", "::1/128"]
    if any(not b.startswith("127.") and b != "::1" for b in asked.listen):
        sources, here = [*here, "samenet"], [*here, "samehost"]
    lines = [f"local all {_name(ADMIN)} peer map={_MAP}"]
    # backups are streamed by the replication protocol, which `all` does not include
    lines += [f"local replication {_name(ADMIN)} peer map={_MAP}"]
    for database in ("all", "replication"):
        lines += [f"{kind} {database} {_name(ADMIN)} {source} scram-sha-256" for source in here]
    lines += [f"local all {_name(RESTORER)} scram-sha-256"]
    lines += [f"{kind} all {_name(RESTORER)} {source} scram-sha-256" for source in here]
    if asked.instance.monitored:
        for database in ["postgres", *monitor.databases(asked)]:
            who = f"{_name(database)} {_name(MONITOR)}"
            lines += [f"{kind} {who} {source} scram-sha-256" for source in sources]
    apps = {} if asked.instance.closed else asked.instance.granted(PostgresGrant)
    for app, right in sorted(apps.items()):
        # tools look for the maintenance database, where they may do nothing
        # by either login: a rotation touches no file
        logins = f"{_name(app)},{_name(app + SECOND)}"
        who = f"{_places(asked, right)} {logins}"
        lines.append(f"local {who} scram-sha-256")
        lines += [f"{kind} {who} {source} scram-sha-256" for source in sources]
    return "# written by mngdb: one line for each right\n" + "\n".join(lines) + "\n"


def _ident(site: Site) -> str:
    lines = [f"{_MAP} {_name(owner)} {ADMIN}" for owner in site.owners]
    return "# written by mngdb: who administers over the socket\n" + "\n".join(lines) + "\n"
