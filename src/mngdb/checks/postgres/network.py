"""How a PostgreSQL server is reached, and whether what it runs with is what its files say."""

from __future__ import annotations

from mngdb.checks import patch_level, tls
from mngdb.checks.catalogue import checks
from mngdb.checks.postgres.hba import from_here, reachable, words
from mngdb.checks.postgres.settings import SETTINGS, text
from mngdb.dial import listens_widely, only_here
from mngdb.errors import UnobservableError
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, listed, not_applicable

_DEMANDS = {
    "nothing": "no authentication",
    "cleartext": "password in clear text",
    "md5": "MD5 password",
    "scram": "SCRAM password",
    "other": "another method",
    "refused": "refused by pg_hba.conf",
}


def _login_required(facts: PostgresFacts) -> Judgement:
    asked = facts.demand.value
    return judged(asked != "nothing", f"{facts.admin} over TCP: {_DEMANDS[asked]}")


def _addresses(facts: PostgresFacts) -> list[str]:
    return [one.strip() for one in text(facts, "listen_addresses").split(",") if one.strip()]


def _bound(facts: PostgresFacts) -> Judgement:
    if facts.own_network:
        return not_applicable("the server listens in a private network")
    found = _addresses(facts)
    return judged(
        not any(map(listens_widely, found)),
        f"listen_addresses {', '.join(found) or 'is empty: unix socket only'}",
    )


def exposure(facts: PostgresFacts) -> patch_level.Exposure:
    """Where it can be reached from."""
    try:
        remote = not all(map(only_here, _addresses(facts)))
    except UnobservableError:
        remote = True
    return patch_level.exposure(
        enclosed=facts.own_network, remote=remote, plain=lambda: facts.plain.value
    )


def _encrypted(facts: PostgresFacts) -> Judgement:
    if facts.own_network and facts.tls.value is None:
        return not_applicable("the server listens in a private network")
    if all(map(only_here, _addresses(facts))):
        return not_applicable("the server listens on loopback only")
    if facts.hba.missing is not None:  # then by how it meets this machine, its own or another
        return tls.required(facts.plain.value, facts.without_tls)
    others = [rule for rule in reachable(facts.hba.value) if not from_here(rule)]
    if not others:
        return not_applicable("pg_hba.conf has no entries for other hosts")
    bad = [words(rule) for rule in others if rule.kind in {"host", "hostnossl"}]
    if bad and facts.without_tls:
        return tls.required(True, facts.without_tls)
    return listed(bad, "all entries for other hosts require TLS", most=3)


def _socket(facts: PostgresFacts) -> Judgement:
    if not text(facts, "unix_socket_directories"):
        return not_applicable("no unix socket")
    found = text(facts, "unix_socket_permissions")
    return judged(int(found, 8) & 0o007 == 0, f"unix_socket_permissions {found}")


def _pending(facts: PostgresFacts) -> Judgement:
    waiting = [name for name, one in facts.settings.value.items() if one.pending]
    return listed(waiting, "none")


def _drift(facts: PostgresFacts) -> Judgement:
    if not facts.wanted:
        return not_applicable("the file has no settings for it")
    return listed(facts.drift.value, f"{len(facts.wanted)} settings match the file", most=3)


CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.login-required": _login_required,
        "postgres.bind": _bound,
        "postgres.encryption": _encrypted,
        "postgres.tls-version": lambda facts: tls.version(facts.tls.value),
        "postgres.tls-ciphers": lambda facts: tls.ciphers(facts.tls.value),
        "postgres.certificate": lambda facts: tls.certificate(facts.tls.value),
        "postgres.socket": _socket,
        "postgres.settings-drift": _drift,
        "postgres.restart-pending": _pending,
        "postgres.files-loaded": lambda facts: listed(
            facts.stale_files.value, "no file changed since it was loaded", most=2
        ),
        "postgres.files-valid": lambda facts: listed(
            facts.wrong_settings.value, "no errors", most=3
        ),
    },
    SETTINGS,
)
