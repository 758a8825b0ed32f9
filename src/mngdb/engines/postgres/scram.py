"""SCRAM-SHA-256 verifiers (RFC 5803), so that no plain password travels in a statement."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from mngdb.secret import Secret

#: PostgreSQL's own default (scram_iterations).
_ITERATIONS = 4096


def verifier(secret: Secret) -> str:
    """What `ALTER ROLE … PASSWORD` takes in place of the password."""
    salt = secrets.token_bytes(16)
    return _verifier(secret, salt, _ITERATIONS)


def matches(secret: Secret, stored: str | None) -> bool:
    """Whether a stored verifier was made of `secret`."""
    try:
        method, parameters, _ = (stored or "").split("$")
        iterations, salt = parameters.split(":")
        again = _verifier(secret, base64.b64decode(salt), int(iterations))
    except ValueError:
        return False
    return method == "SCRAM-SHA-256" and hmac.compare_digest(again, stored or "")


def _verifier(secret: Secret, salt: bytes, iterations: int) -> str:
    salted = hashlib.pbkdf2_hmac("sha256", secret.reveal().encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = base64.b64encode(hashlib.sha256(client).digest()).decode()
    server = base64.b64encode(hmac.digest(salted, b"Server Key", "sha256")).decode()
    return f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}${stored}:{server}"
