"""Who gets into a Redis server, from where, and what each login may do there."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from mngdb.checks import tls
from mngdb.checks.catalogue import checks
from mngdb.checks.redis.settings import SETTINGS
from mngdb.checks.strength import long_enough
from mngdb.dial import listens_widely
from mngdb.facts.redis import Login, RedisFacts
from mngdb.findings import Check, Judgement, judged, listed, not_applicable, strangers

#: Of the commands that were tried: B13's list of what no app may run, with what does the same harm,
#: and of what it needs.
_HARMFUL = frozenset(
    {
        *("flushall", "flushdb", "config|set", "config|get", "shutdown", "keys", "save", "bgsave"),
        *("bgrewriteaof", "debug", "acl|setuser", "module|load", "replicaof", "monitor"),
        *("client|kill", "migrate", "swapdb", "slaveof", "psync", "failover", "acl|load"),
        *("acl|deluser", "config|rewrite", "cluster|reset", "client|pause", "restore"),
    }
)
_NEEDED = frozenset({"ping", "info", "get", "scan", "client|setname", "subscribe", "xrange"})
#: Who may do one of these is an administrator.
_RULING = frozenset({"acl|setuser", "config|set", "shutdown", "module|load", "slaveof"})

#: Of a server that others run: who has no other login would be shut out, mngdb perhaps among them.
_FIRST = (
    "give mngdb and each client a login of its own first (an app in the file, a user in the "
    "instance's url); then ACL SETUSER default off"
)


def _apps(facts: RedisFacts) -> list[Login]:
    """The logins of apps, whether the file names them or not: all but the stack's own others."""
    own = facts.known - facts.apps.keys()
    return [one for one in facts.logins.value if one.on and one.name not in own]


def _no_strangers(facts: RedisFacts) -> Judgement:
    answered = facts.open_to_all.value
    return judged(not answered, "PING without a login: " + ("PONG" if answered else "refused"))


def _default_user(facts: RedisFacts) -> Judgement:
    found = next((one for one in facts.logins.value if one.name == "default"), None)
    if found is None or not found.on:
        return judged(True, "the user 'default' is disabled")
    if found.no_password:
        return judged(False, "the user 'default' is enabled without a password")
    if found.as_admin:
        return judged(True, "the user 'default' has the admin password")
    rules = bool(found.rights.value.may & _RULING)
    judgement = judged(
        not rules, "the user 'default' is enabled" + (" with administrative rights" * rules)
    )
    return judgement if facts.managed else replace(judgement, remedy=_FIRST)


def _passwords(facts: RedisFacts) -> Judgement:
    open_ones = [one.name for one in facts.logins.value if one.on and one.no_password]
    return listed([f"{name} has none" for name in open_ones], "every enabled login has one")


def _well_known(facts: RedisFacts) -> Judgement:
    weak = [one.name for one in facts.logins.value if one.on and one.well_known]
    return listed(weak, "no login has a common password")


def _harmless(facts: RedisFacts) -> Judgement:
    bad = []
    for one in _apps(facts):
        named = facts.apps.get(one.name, frozenset())
        found = sorted(
            c for c in one.rights.value.may & _HARMFUL if c not in named and _head(c) not in named
        )
        if found:
            bad.append(f"{one.name}: {' '.join(found)}")
    return listed(bad, "ACL DRYRUN denies each of them")


def _head(command: str) -> str:
    return command.partition("|")[0]


def _useful(facts: RedisFacts) -> Judgement:
    if not facts.apps:
        return not_applicable("the file has no app here")
    bad = []
    for one in _apps(facts):
        if one.name not in facts.apps:
            continue
        missing = sorted(_NEEDED - one.rights.value.may)
        if missing:
            bad.append(f"{one.name}: {' '.join(missing)}")
    return listed(bad, "ACL DRYRUN allows each of them")


def _own_keys(facts: RedisFacts) -> Judgement:
    # meant by some, so no failure; 'up' says it as well
    some = f"; shared: {'; '.join(facts.shared[:3])}" if facts.shared else ""
    every = [a.name for a in _apps(facts) if a.rights.value.all_keys and a.name not in facts.whole]
    return listed(every, f"{_patterned(facts)}{some}")


def _own_channels(facts: RedisFacts) -> Judgement:
    bad = [a.name for a in _apps(facts) if a.rights.value.all_channels]
    return listed([name for name in bad if name not in facts.whole], _patterned(facts))


def _patterned(facts: RedisFacts) -> str:
    return "every app has a pattern" + (", or the instance to itself" if facts.whole else "")


def _all_known(facts: RedisFacts) -> Judgement:
    """Elsewhere others have logins of theirs, which are told when they reach what is not theirs."""
    others = [one for one in facts.logins.value if one.on and one.name not in facts.known]
    powers = {one.name: ", ".join(_powers(one)) for one in others}
    bad = [
        name + (f" ({power})" if power else "")
        for name, power in powers.items()
        if facts.managed or facts.adopted or power
    ]
    if facts.managed or facts.adopted:
        return strangers(bad, facts.adopted)
    return listed(bad, "other logins have no access to the apps")


def _powers(one: Login) -> Iterator[str]:
    rights = one.rights.value
    if rights.all_keys:
        yield "all keys"
    elif rights.apps:
        yield f"keys of {' '.join(sorted(rights.apps)[:3])}"
    if rights.all_channels:
        yield "all channels"
    harmful = sorted(rights.may & _HARMFUL)
    if harmful:
        more = f" and {len(harmful) - 3} more" if len(harmful) > 3 else ""
        yield f"{' '.join(harmful[:3])}{more}"


def _rulers(facts: RedisFacts) -> Judgement:
    found = [one for one in facts.logins.value if one.on and one.rights.value.may & _RULING]
    # the administrator by another name lets nobody else in
    same = {one.name for one in found if one.name == "default" and one.as_admin}
    others = [one.name for one in found if one.name not in {facts.admin, *same}]
    return listed(others, f"only {facts.admin}")


def _kept(facts: RedisFacts) -> Judgement:
    path = facts.config.value.get("aclfile", "")
    return judged(
        bool(path), f"aclfile {path or 'is not set: ACL SETUSER does not survive a restart'}"
    )


def _bound(facts: RedisFacts) -> Judgement:
    if facts.enclosed:
        return not_applicable("the server listens in a private network, no port is published")
    found = facts.config.value.get("bind", "")
    if not found and not _old(facts):
        return not_applicable("the server listens on its unix socket only")
    wide = not found or any(listens_widely(one.removeprefix("-")) for one in found.split())
    return judged(not wide, f"bind {found or 'is empty: all addresses'}")


def _old(facts: RedisFacts) -> bool:
    """Whether no address means all of them, as before Redis 6.2."""
    found = facts.info.value["redis_version"].split(".")
    return (int(found[0]), int(found[1])) < (6, 2)


def _encrypted(facts: RedisFacts) -> Judgement:
    if facts.enclosed and not _takes_tls(facts):
        return not_applicable("the server is reachable in a private network only")
    if not facts.remote:
        return not_applicable("the server listens on loopback only")
    return tls.required(facts.plain.value, facts.without_tls)


def _takes_tls(facts: RedisFacts) -> bool:
    return facts.config.value.get("tls-port", "0") != "0"


def _protocols(facts: RedisFacts) -> Judgement:
    if not _takes_tls(facts):
        return not_applicable("TLS is off")
    found = facts.config.value.get("tls-protocols", "")
    # empty: TLS 1.2 and 1.3
    old = [one for one in found.split() if one in {"TLSv1", "TLSv1.1"}]
    return judged(not old, f"tls-protocols {found or 'TLSv1.2 TLSv1.3 (the default)'}")


CHECKS: tuple[Check[RedisFacts], ...] = checks(
    __file__,
    {
        "redis.login-required": _no_strangers,
        "redis.default-user": _default_user,
        "redis.password-set": _passwords,
        "redis.password-known": _well_known,
        "redis.password-length": lambda facts: long_enough(facts.password_lengths.items()),
        "redis.acl-dangerous": _harmless,
        "redis.acl-useful": _useful,
        "redis.acl-keys": _own_keys,
        "redis.acl-channels": _own_channels,
        "redis.logins-known": _all_known,
        "redis.acl-admins": _rulers,
        "redis.acl-file": _kept,
        "redis.bind": _bound,
        "redis.encryption": _encrypted,
        "redis.tls-version": _protocols,
    },
    SETTINGS,
)
