"""Whom pg_hba.conf lets in, and how: the first line that fits decides, so a line that can never be
reached by anybody counts for nothing.

https://www.postgresql.org/docs/current/auth-pg-hba-conf.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from msgspec.structs import replace

from mngdb.checks.catalogue import checks
from mngdb.facts.postgres import PostgresFacts, Rule
from mngdb.findings import Check, Judgement, listed

#: What the server is told, the client may have made up.
_BELIEVED = {"trust", "ident"}
#: Methods by which the password itself crosses the line.
_CLEAR = {"password", "ldap", "radius", "pam", "bsd"}
#: Larger networks than any company has: ::/0 and 0.0.0.0/1 as well as 2000::/3.
_WORLD = 8


def reachable(rules: Iterable[Rule]) -> list[Rule]:
    """The lines that somebody can come in by: neither refusing, nor wrong, nor behind another that
    takes everybody first."""
    before: list[Rule] = []
    found = []
    for rule in rules:
        if rule.error:
            continue
        if not any(_covers(one, rule) for one in before):
            before.append(rule)
            if rule.method != "reject":
                found.append(rule)
    return found


def _covers(one: Rule, other: Rule) -> bool:
    """Whether whoever fits `other` fits `one`."""
    kinds = one.kind == other.kind or (one.kind == "host" and other.kind.startswith("host"))
    databases = set(other.databases) <= set(one.databases) or (
        "all" in one.databases and "replication" not in other.databases
    )
    users = "all" in one.users or set(other.users) <= set(one.users)
    return kinds and databases and users and (one.kind == "local" or _wider(one, other))


def _wider(one: Rule, other: Rule) -> bool:
    if one.address == "all" or (one.address, one.mask) == (other.address, other.mask):
        return True
    wide, narrow = _network(one), _network(other)
    if isinstance(wide, IPv4Network) and isinstance(narrow, IPv4Network):
        return narrow.subnet_of(wide)
    if isinstance(wide, IPv6Network) and isinstance(narrow, IPv6Network):
        return narrow.subnet_of(wide)
    return False


def _network(rule: Rule) -> IPv4Network | IPv6Network | None:
    """None for names, `all`, samehost and samenet."""
    try:
        bits = int(ip_address(rule.mask)).bit_count()
        return ip_network(f"{rule.address}/{bits}", strict=False)
    except ValueError:
        return None


def _everywhere(rule: Rule) -> bool:
    network = _network(rule)
    if rule.address == "all" or network is None:
        return rule.address == "all"
    return network.prefixlen < _WORLD and not network.is_private


def from_here(rule: Rule) -> bool:
    """Whether only the server's own machine fits."""
    network = _network(rule)
    local = network is not None and network.is_loopback and network.prefixlen > 0
    return rule.kind == "local" or rule.address in {"samehost", "localhost"} or local


def words(rule: Rule) -> str:
    where = rule.address
    network = _network(rule)
    if network is not None:
        where = str(network)
    parts = (rule.kind, ",".join(rule.databases), ",".join(rule.users), where, rule.method)
    text = " ".join(part for part in parts if part)
    return f"{_line(rule)}: {text}{f' map={rule.map}' * bool(rule.map)}"


def _line(rule: Rule) -> str:
    return f"line {rule.line}" + f" of {rule.file}" * bool(rule.file)


def _believed(facts: PostgresFacts) -> Judgement:
    def bad(rule: Rule) -> bool:
        return rule.method in _BELIEVED or bool(rule.map and rule.map in facts.maps.value)

    return _none(bad, "no trust or ident, no map for all accounts")(facts)


def _none(bad: Callable[[Rule], bool], fine: str) -> Callable[[PostgresFacts], Judgement]:
    def judge(facts: PostgresFacts) -> Judgement:
        found = [words(rule) for rule in reachable(facts.hba.value) if bad(rule)]
        return listed(found, fine, most=3)

    return judge


def _everybody(rule: Rule) -> bool:
    # over the socket, peer lets nobody be anybody else
    same = rule.kind == "local" and rule.method == "peer"
    return {"all"} <= set(rule.databases) and {"all"} <= set(rule.users) and not same


def _superusers(facts: PostgresFacts) -> Judgement:
    bad = []
    for role in facts.roles.value:
        if "SUPERUSER" not in role.special:
            continue
        named = [
            replace(rule, users=(role.name,))
            for rule in facts.hba.value
            if role.name in rule.superusers and set(rule.databases) != {"replication"}
        ]
        bad += [words(rule) for rule in reachable(named) if not from_here(rule)]
    return listed(bad, "superusers connect locally only", most=3)


def _errors(facts: PostgresFacts) -> Judgement:
    bad = [f"{_line(rule)}: {rule.error}" for rule in facts.hba.value if rule.error]
    return listed(bad, f"{len(facts.hba.value)} entries without errors", most=3)


CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.hba-trust": _believed,
        "postgres.hba-cleartext": _none(
            lambda rule: rule.method in _CLEAR and rule.kind in {"host", "hostnossl"},
            "no password method in clear text without TLS",
        ),
        "postgres.hba-md5": _none(lambda rule: rule.method == "md5", "no md5"),
        "postgres.hba-everywhere": _none(_everywhere, "every entry has a limited address range"),
        "postgres.hba-everybody": _none(_everybody, "every entry has databases or roles"),
        "postgres.hba-superuser": _superusers,
        "postgres.hba-errors": _errors,
    },
)
