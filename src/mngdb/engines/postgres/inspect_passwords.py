"""Whether a login has a password that everybody tries first, by the verifier that the server keeps.
No login is tried, so nothing is locked and nothing is logged."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from mngdb.engines.postgres import scram
from mngdb.facts.postgres import Login
from mngdb.secret import Secret

#: The first that anybody tries; a login's own name comes before them.
WELL_KNOWN = (
    *("postgres", "password", "admin", "root", "123456", "12345678", "secret", "changeme"),
    *("default", "test", "letmein", "passw0rd", "password123", "postgres123", "mysecretpassword"),
    *("strong_password", "your-password", "your-strong-password-here"),
)
#: Each try costs a millisecond or more: that is what SCRAM is for.
_SECONDS = 3.0
_THREADS = 4


def judge(rows: Sequence[Mapping[str, Any]], secrets: Mapping[str, Secret]) -> tuple[Login, ...]:
    """The logins, from rows of name, stored verifier and days. `secrets` of the vault save most of
    the tries: who has one of these has no other."""
    deadline = time.monotonic() + _SECONDS
    with ThreadPoolExecutor(_THREADS) as pool:  # the hashing lets other threads run
        return tuple(pool.map(lambda row: _login(row, secrets.get(row["name"]), deadline), rows))


def _login(row: Mapping[str, Any], secret: Secret | None, deadline: float) -> Login:
    name, stored = row["name"], row["stored"] or ""
    kind: Literal["none", "md5", "scram", "other"] = "other"
    iterations = 0
    if not stored:
        kind = "none"
    elif stored.startswith("md5"):
        kind = "md5"
    elif stored.startswith("SCRAM-SHA-256$"):
        kind, iterations = "scram", int(stored.split("$")[1].split(":")[0])
    return Login(name, kind, iterations, _weak(name, stored, kind, secret, deadline), row["days"])


def _weak(name: str, stored: str, kind: str, secret: Secret | None, deadline: float) -> bool | None:
    words = (name, f"{name}123", *WELL_KNOWN)
    if kind == "md5":
        hashed = (hashlib.md5((word + name).encode()).hexdigest() for word in words)  # noqa: S324
        return any(stored == f"md5{one}" for one in hashed)
    if kind != "scram":
        return False
    if secret is not None and scram.matches(secret, stored):
        return secret.reveal() in words
    for word in words:
        if time.monotonic() > deadline:
            return None
        if scram.matches(Secret(word), stored):
            return True
    return False
