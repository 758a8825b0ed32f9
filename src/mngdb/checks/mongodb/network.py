"""From where a MongoDB server is reached, and what can be read on the way."""

from __future__ import annotations

from collections.abc import Mapping

from mngdb.checks import patch_level, tls
from mngdb.checks.catalogue import checks
from mngdb.dial import listens_widely
from mngdb.facts import patch_levels
from mngdb.facts.mongodb import MongodbFacts
from mngdb.findings import Check, Judgement, judged, listed, not_applicable

#: Connections that a server should take where nobody asks for a number.
_LEAST = 1000
_OWNER_ONLY = 0o700
#: "mongobleed".
ZLIB_HOLE = "CVE-2025-14847"
_ENCLOSED = "the server is in a private network with its apps"


def _bound(facts: MongodbFacts) -> Judgement:
    if facts.enclosed:
        return not_applicable(_ENCLOSED)
    options = facts.options.value
    found = options.get("net.bindIp", "localhost (the default)")
    if options.get("net.bindIpAll") == "true":
        return judged(False, "bindIpAll")
    wide = any(listens_widely(one.strip()) for one in found.split(","))
    return judged(not wide, f"bindIp {found}")


def _encrypted(facts: MongodbFacts) -> Judgement:
    if facts.enclosed and facts.tls.value is None:
        return not_applicable(_ENCLOSED)
    if not facts.remote:
        return not_applicable("the server listens on loopback only")
    return tls.required(facts.plain.value, facts.without_tls)


def exposure(facts: MongodbFacts) -> patch_level.Exposure:
    """Where it can be reached from."""
    return patch_level.exposure(
        enclosed=facts.enclosed, remote=facts.remote, plain=lambda: facts.plain.value
    )


def closing(facts: MongodbFacts) -> Mapping[str, str]:
    """The settings by which holes are closed, as far as they were seen; zlib by effect."""
    found = {} if facts.options.missing is not None else dict(facts.options.value)
    if facts.zlib.missing is None:
        found["net.compression.compressors"] = "zlib" if facts.zlib.value else ""
    return found


def _zlib(facts: MongodbFacts) -> Judgement:
    if not facts.zlib.value:
        return judged(True, "zlib messages are refused")
    found = str(facts.status.value["version"])
    holes = {hole.id for hole in patch_levels.holes("MongoDB", found)}
    said = f"zlib messages are accepted; MongoDB {found}"
    if ZLIB_HOLE not in holes:
        return judged(True, f"{said} has the fix for {ZLIB_HOLE}")
    grave = patch_level.grave(exposure(facts), login=False)
    return Judgement("fail", f"{said} discloses memory ({ZLIB_HOLE})", grave)


def _only_tls(facts: MongodbFacts) -> Judgement:
    if facts.tls.value is None:
        return not_applicable("TLS is off")
    return tls.required(facts.plain.value)


def _verified(facts: MongodbFacts) -> Judgement:
    if facts.tls.value is None:
        return not_applicable("TLS is off")
    names = ("net.tls.allowInvalidCertificates", "net.tls.allowInvalidHostnames")
    off = [name for name in names if facts.options.value.get(name) == "true"]
    system = facts.options.value.get("setParameter.tlsUseSystemCA") == "true"
    if "net.tls.CAFile" not in facts.options.value and not system:
        off.append("no net.tls.CAFile")
    return listed(off, "certificates are verified against the CA")


def _socket(facts: MongodbFacts) -> Judgement:
    options = facts.options.value
    if options.get("net.unixDomainSocket.enabled") == "false":
        return judged(True, "no unix socket")
    mode = int(options.get("net.unixDomainSocket.filePermissions", str(_OWNER_ONLY)))
    return judged(mode & 0o077 == 0, f"mode {mode:04o}")


def _connections(facts: MongodbFacts) -> tuple[int, int]:
    found = facts.status.value["connections"]
    return int(found["current"]), int(found["current"]) + int(found["available"])


def _limit(facts: MongodbFacts) -> Judgement:
    name = "net.maxIncomingConnections"
    asked = int(facts.wanted.get(name) or facts.options.value.get(name) or _LEAST)
    limit = _connections(facts)[1]
    return judged(limit >= asked, f"limit {limit}, configured {asked}")


def _used(facts: MongodbFacts) -> Judgement:
    current, limit = _connections(facts)
    return judged(current <= 0.8 * limit, f"{current} of {limit}")


CHECKS: tuple[Check[MongodbFacts], ...] = checks(
    __file__,
    {
        "mongodb.bind": _bound,
        "mongodb.encryption": _encrypted,
        "mongodb.zlib": _zlib,
        "mongodb.tls-only": _only_tls,
        "mongodb.tls-version": lambda facts: tls.version(facts.tls.value),
        "mongodb.tls-certificate": lambda facts: tls.certificate(facts.tls.value),
        "mongodb.tls-verified": _verified,
        "mongodb.unix-socket": _socket,
        "mongodb.connections-limit": _limit,
        "mongodb.connections-used": _used,
    },
)
