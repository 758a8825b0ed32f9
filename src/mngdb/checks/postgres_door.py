"""How a PostgreSQL server is reached, and whether what it runs with is what its files say."""

from __future__ import annotations

from mngdb.checks import patch_level
from mngdb.checks.postgres_hba import from_here, reachable, words
from mngdb.checks.postgres_settings import between, key, look, setting, text
from mngdb.dial import listens_widely, only_here
from mngdb.errors import UnobservableError
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, listed, no_matter

_ASKED = {
    "nothing": "nothing is asked: it is in",
    "cleartext": "the password, readable",
    "md5": "the password by MD5",
    "scram": "the password by SCRAM",
    "other": "a proof",
    "refused": "refused at the door",
}


def _login_required(facts: PostgresFacts) -> Judgement:
    asked = facts.demand.value
    return judged(asked != "nothing", f"{facts.admin} over TCP: {_ASKED[asked]}")


def _addresses(facts: PostgresFacts) -> list[str]:
    return [one.strip() for one in text(facts, "listen_addresses").split(",") if one.strip()]


def _bound(facts: PostgresFacts) -> Judgement:
    if facts.own_network:
        return no_matter("it listens in a network of its own")
    found = _addresses(facts)
    return judged(
        not any(map(listens_widely, found)),
        f"listen_addresses {', '.join(found) or 'is empty: the socket only'}",
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
        return no_matter("it listens in a network of its own")
    if all(map(only_here, _addresses(facts))):
        return no_matter("it listens to its own machine only")
    if facts.hba.missing is not None:  # then by how it meets this machine, its own or another
        plain = facts.plain.value
        return judged(not plain, "it goes on without encryption" if plain else "TLS or nothing")
    others = [rule for rule in reachable(facts.hba.value) if not from_here(rule)]
    if not others:
        return no_matter("pg_hba.conf lets nobody in from other machines")
    bad = [words(rule) for rule in others if rule.kind in {"host", "hostnossl"}]
    return listed(bad, "every line for other machines asks for encryption", most=3)


def _version(facts: PostgresFacts) -> Judgement:
    found = facts.tls.value
    if found is None:
        return no_matter("TLS is off")
    return judged(not found.old, "TLS 1.1 or older is taken" if found.old else found.version)


def _ciphers(facts: PostgresFacts) -> Judgement:
    found = facts.tls.value
    if found is None:
        return no_matter("TLS is off")
    taken = "a cipher without encryption, certificate or strength is taken"
    return judged(not found.weak, taken if found.weak else "weak ones are refused")


def _certificate(facts: PostgresFacts) -> Judgement:
    found = facts.tls.value
    if found is None:
        return no_matter("TLS is off")
    return judged(found.days > 14, f"it ends in {found.days:.0f} days")


def _socket(facts: PostgresFacts) -> Judgement:
    if not text(facts, "unix_socket_directories"):
        return no_matter("there is no socket")
    found = text(facts, "unix_socket_permissions")
    return judged(int(found, 8) & 0o007 == 0, f"unix_socket_permissions {found}")


def _pending(facts: PostgresFacts) -> Judgement:
    waiting = [name for name, one in facts.settings.value.items() if one.pending]
    return listed(waiting, "nothing waits for a restart")


def _drift(facts: PostgresFacts) -> Judgement:
    if not facts.wanted:
        return no_matter("the file sets nothing here")
    return listed(facts.drift.value, f"{len(facts.wanted)} settings as in the file", most=3)


def _data_mode(facts: PostgresFacts) -> Judgement:
    found = look(facts, "data_directory_mode")
    value = found.value if found else ""
    return judged(value == "0700", f"data_directory_mode {value}")


CHECKS: tuple[Check[PostgresFacts], ...] = (
    Check(
        "postgres.login-required",
        "the administrator is not let in without a proof",
        "critical",
        _login_required,
        "a question for the password",
        "'mngdb up'; elsewhere scram-sha-256 in pg_hba.conf",
        ("A11", "postgresql.org: Client Authentication", "pgdsat 5.4"),
    ),
    Check(
        "postgres.bind",
        "it listens on chosen addresses only",
        "high",
        _bound,
        "listen_addresses with loopback or private addresses",
        "postgres: {bind: [127.0.0.1]}, then 'mngdb up'; elsewhere ALTER SYSTEM SET "
        "listen_addresses = 'localhost', and a restart",
        ("A11", "postgresql.org: Connections and Authentication", "pgdsat 5.2"),
    ),
    Check(
        "postgres.encryption",
        "what leaves the machine is encrypted",
        "high",
        _encrypted,
        "no way in without TLS, where others than this machine can connect",
        "tls: true, then 'mngdb up'; elsewhere hostssl in place of host in pg_hba.conf",
        ("A5", "postgresql.org: Secure TCP/IP Connections with SSL", "pgdsat 5.8", "pgdsat 6.8"),
    ),
    Check(
        "postgres.tls-version",
        "old versions of TLS are refused",
        "medium",
        _version,
        "TLS 1.2 or 1.3",
        key("ssl_min_protocol_version: TLSv1.2"),
        ("A5", "postgresql.org: Secure TCP/IP Connections with SSL", "pgdsat 6.8"),
    ),
    Check(
        "postgres.tls-ciphers",
        "weak ciphers are refused",
        "medium",
        _ciphers,
        "no cipher without encryption or certificate, no RC4, no triple DES",
        key("ssl_ciphers: 'HIGH:!aNULL'"),
        ("A5", "postgresql.org: Secure TCP/IP Connections with SSL", "pgdsat 6.10"),
    ),
    Check(
        "postgres.certificate",
        "the certificate lasts",
        "high",
        _certificate,
        "more than 14 days left",
        "'mngdb up' renews it; elsewhere put a new one in ssl_cert_file and reload",
        ("A5", "postgresql.org: Secure TCP/IP Connections with SSL"),
    ),
    Check(
        "postgres.socket",
        "the unix socket is not open to every account",
        "low",
        _socket,
        "unix_socket_permissions 0700 or 0770",
        "'mngdb up'; elsewhere unix_socket_permissions = 0770 and a restart",
        ("A11", "postgresql.org: Connections and Authentication", "pgdsat 2.6"),
    ),
    Check(
        "postgres.authentication-timeout",
        "who does not log in is shown out",
        "low",
        setting("authentication_timeout", between(1, 60)),
        "authentication_timeout 1 to 60 seconds",
        key("authentication_timeout: 60s"),
        ("postgresql.org: Connections and Authentication", "pgdsat 5.7"),
    ),
    Check(
        "postgres.data-mode",
        "only the server's account reads the data",
        "low",
        _data_mode,
        "data_directory_mode 0700",
        "chmod 0700 on the data folder, then a restart",
        ("postgresql.org: Creating a Database Cluster", "pgdsat 2.7"),
    ),
    Check(
        "postgres.settings-drift",
        "settings in force are those of the file",
        "high",
        _drift,
        "no difference",
        "'mngdb plan' shows it, 'mngdb up' mends it",
        ("A1", "A10"),
    ),
    Check(
        "postgres.restart-pending",
        "no setting waits for a restart",
        "medium",
        _pending,
        "pg_settings.pending_restart is false throughout",
        "'mngdb up' restarts servers that it runs",
        ("postgresql.org: pg_settings",),
    ),
    Check(
        "postgres.files-loaded",
        "the server runs with its files as they are",
        "medium",
        lambda facts: listed(facts.stale_files.value, "none changed since they were read", most=2),
        "no file younger than pg_conf_load_time()",
        "SELECT pg_reload_conf()",
        ("postgresql.org: Setting Parameters",),
    ),
    Check(
        "postgres.files-valid",
        "the server can take every line of its files",
        "high",
        lambda facts: listed(facts.wrong_settings.value, "no line with an error", most=3),
        "no error in pg_file_settings: with one, a restart fails",
        "mend the line; 'mngdb up' writes the file anew",
        ("postgresql.org: pg_file_settings",),
    ),
)
