"""The unit that runs mongod: its configuration file, its key file, its command.

Options: https://www.mongodb.com/docs/manual/reference/configuration-options/
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from mngdb.engines.mongodb.access import key_text
from mngdb.model import DesiredInstance, File, Site, Unit
from mngdb.release import Data, Release, Unreadable
from mngdb.spec.mongodb import MongodbInstance
from mngdb.words import numbers

PARAMETER = "setParameter."
#: What options of the configuration file begin with; every other name is a parameter's.
_SECTIONS = (
    *("net.", "storage.", "operationProfiling.", "replication.", "security.", "sharding."),
    *("systemLog.", "processManagement.", "auditLog.", PARAMETER),
)
SLOW = "operationProfiling.slowOpThresholdMs"
OPLOG = "replication.oplogSizeMB"
COMPRESSORS = "net.compression.compressors"
#: mongod refuses less.
_LEAST_CACHE = 0.25
#: Of a server that a restore fills: what is thrown away at the next start is not compressed.
_FILLING = {"storage.wiredTiger.engineConfig.journalCompressor": "none"}


def spec_of(asked: DesiredInstance) -> MongodbInstance:
    """The instance's model, which the registry has chosen by the engine's name."""
    spec = asked.instance.spec
    assert isinstance(spec, MongodbInstance)  # noqa: S101 — for mypy; the registry guarantees it
    return spec


def settings(asked: DesiredInstance) -> dict[str, str]:
    """Configuration option (dotted, as in the manual) to value.

    On a server that is not ours: only what the file names itself; a provider decides all.
    """
    spec = spec_of(asked)
    if asked.hosted:
        return {}
    named = {option_of(name): _switch(value) for name, value in spec.settings.items()}
    slow = str(int(spec.slow.total_seconds() * 1000))
    if asked.site is None:
        own = {
            "slow": (SLOW, slow),
            "max_connections": ("net.maxIncomingConnections", str(spec.max_connections)),
            "oplog": (OPLOG, str(spec.oplog)),
        }
        return {k: v for key, (k, v) in own.items() if key in spec.model_fields_set} | named
    return {
        "storage.dbPath": asked.site.data,
        "storage.wiredTiger.engineConfig.cacheSizeGB": _cache(asked, asked.site),
        "net.bindIp": ",".join(asked.listen),
        "net.ipv6": text_of(any(":" in address for address in asked.listen)),
        "net.port": str(spec.port),
        "net.maxIncomingConnections": str(spec.max_connections),
        # without zlib: before 8.0.17 and its like anybody reads the server's memory by it
        # (CVE-2025-14847)
        COMPRESSORS: "snappy,zstd",
        # its path may be too long for a socket (107 bytes), and TCP on loopback serves as well
        "net.unixDomainSocket.enabled": "false",
        **_tls(asked, asked.site),
        "security.authorization": "enabled",
        "security.keyFile": _keyfile(asked.site),
        "security.javascriptEnabled": text_of(spec.javascript),
        # without an oplog, which has every document again, it is filled in two thirds of the time
        **(_FILLING if asked.instance.filling else _replicated(asked)),
        "operationProfiling.mode": "slowOp",
        SLOW: slow,
        # nobody gets in without a login, not even before the first one exists
        PARAMETER + "enableLocalhostAuthBypass": "false",
        # generated secrets have 240 random bits, to which stretching adds nothing; mongod's own
        # 15000 rounds take three times as long for every login that is made, compared or opened
        PARAMETER + "scramSHA256IterationCount": "5000",
        **named,
        # a server of restored data stays as it was at its moment
        **({} if asked.instance.role == "live" else {PARAMETER + "ttlMonitorEnabled": "false"}),
    }


def _replicated(asked: DesiredInstance) -> dict[str, str]:
    return {"replication.replSetName": asked.stack, OPLOG: str(spec_of(asked).oplog)}


def option_of(name: str) -> str:
    """The configuration file's option that a setting of the stack's file is."""
    return name if name.startswith(_SECTIONS) else PARAMETER + name


def _keyfile(site: Site) -> str:
    """Where mongod reads it. It refuses one that others may read, as mounted files can be, so in a
    container it gets a copy."""
    return f"{site.run if site.tunnel else site.conf}/keyfile"


def _tls(asked: DesiredInstance, site: Site) -> dict[str, str]:
    if not asked.instance.tls or site.tls is None:
        return {"net.tls.mode": "disabled"}
    return {
        "net.tls.mode": "requireTLS",
        "net.tls.certificateKeyFile": site.tls.own,
        "net.tls.CAFile": site.tls.ca,
        # apps prove who they are by SCRAM, not by certificates of their own
        "net.tls.allowConnectionsWithoutCertificates": "true",
    }


def _cache(asked: DesiredInstance, site: Site) -> str:
    """WiredTiger's cache in GB, to 10 MB: a few bytes of memory more are no reason to restart."""
    return text_of(max(_LEAST_CACHE, round(asked.instance.memory.of(site.memory) / 2**30, 2)))


def unit(asked: DesiredInstance, site: Site) -> Unit:
    """The process. The target makes the data folder; mongod needs nothing in it."""
    tree: dict[str, Any] = {}
    for name, value in settings(asked).items():
        # a parameter's own name may have dots
        *path, last = name.split(".", 1 if name.startswith(PARAMETER) else -1)
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = typed(value)
    text = "# Written by mngdb; the next 'mngdb up' writes it again.\n" + yaml.safe_dump(tree)
    return Unit(
        name=asked.instance.unit,
        instance=asked.instance.name,
        engine="mongodb",
        argv=_argv(site),
        files=(File("mongod.conf", text), File("keyfile", key_text(asked))),
        verify=(site.program.server, "--config", "{conf}/mongod.conf", "--outputConfig"),
        cold_files=frozenset({"keyfile"}),
        holds=("WiredTiger",),
        data=Data((), lambda _, last: _unreadable(site.program.version, last)),
    )


def _unreadable(program: str, last: Release | None) -> Unreadable | None:
    """A server opens data of its own featureCompatibilityVersion and of the major version before.

    https://www.mongodb.com/docs/manual/reference/command/setFeatureCompatibilityVersion/
    """
    found, ours = numbers(last.data if last else "")[:2], numbers(program)[:2]
    if last is None or not found or not ours:
        return None
    if found > ours[: len(found)]:
        return Unreadable(
            f"{last} at featureCompatibilityVersion {last.data}",
            f"run MongoDB {last.version} again; there, setFeatureCompatibilityVersion to "
            f"{ours[0]}.0 as far as its manual allows that",
        )
    # 8.0 opens 7.0; the releases after it, as 8.2, open 8.0
    oldest = (ours[0] - 1, 0) if ours[1:] in {(), (0,)} else (ours[0], 0)
    if found >= oldest:
        return None
    wanted = ".".join(map(str, oldest))
    return Unreadable(
        f"{last} at featureCompatibilityVersion {last.data}",
        f"run MongoDB {wanted} first, with setFeatureCompatibilityVersion {wanted}",
    )


def _argv(site: Site) -> tuple[str, ...]:
    start = (site.program.server, "--config", f"{site.conf}/mongod.conf")
    if not site.tunnel:
        return start
    copy = f'umask 077 && cat {site.conf}/keyfile >{_keyfile(site)} && exec "$0" "$@"'
    return ("/bin/sh", "-c", copy, *start)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Options as `getCmdLineOpts` nests them, with dotted names and one spelling of values."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = text_of(value)
    return found


def text_of(value: object) -> str:
    """A value that the server reports, in the one spelling that settings are compared in."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def typed(value: str) -> bool | int | float | str:
    """A setting's text as mongod wants it at run time, where it takes no text for a number."""
    if value in ("true", "false"):
        return value == "true"
    if re.fullmatch(r"-?\d+", value):
        return int(value)
    return float(value) if re.fullmatch(r"-?\d+\.\d+", value) else value


def _switch(value: str) -> str:
    """The file's `on` and `off` (as it reads true and false), in mongod's words."""
    return {"on": "true", "off": "false"}.get(value, value)
