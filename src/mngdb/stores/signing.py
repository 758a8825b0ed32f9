"""What tells what a stack wrote from what others put into its store: HMAC-SHA256, with a secret
that is in the vault alone. Who may write to the store can then remove what is there, and make
nothing that is taken for the stack's own.
"""

from __future__ import annotations

import hmac
import secrets

from mngdb.errors import UsageError
from mngdb.secret import Secret
from mngdb.stores.sealing import UnreadableError

#: Bytes of the secret, and hexadecimal digits of a signature.
_BYTES, DIGITS = 32, 64
NOT_OURS = "not written by this stack (no valid signature)"


class UnsignedError(UnreadableError):
    """Nobody can tell that the stack wrote it."""


def make_secret() -> Secret:
    """A new secret to sign with, in hexadecimal digits."""
    return Secret(secrets.token_hex(_BYTES))


class Signer:
    """Signs with a secret. May be used by several threads."""

    def __init__(self, secret: Secret) -> None:
        """Raises UsageError for what is no such secret."""
        try:
            self._key = bytes.fromhex(secret.reveal())
        except ValueError:
            self._key = b""
        if len(self._key) != _BYTES:
            raise UsageError(
                f"the secret that signs backups has to be {2 * _BYTES} hexadecimal digits",
                "the kit holds it: mngdb secret set backup_mac; to begin anew, the same with what "
                "'openssl rand -hex 32' makes",
            )

    def sign(self, data: bytes, digits: int = DIGITS) -> str:
        """The first digits of its HMAC-SHA256, in hexadecimal."""
        return hmac.digest(self._key, data, "sha256").hex()[:digits]

    def signed(self, data: bytes, signature: str, digits: int = DIGITS) -> bool:
        """Whether the signature is of these bytes, by this secret."""
        return hmac.compare_digest(self.sign(data, digits).encode(), signature.encode())

    @property
    def fingerprint(self) -> str:
        """Digits that tell one secret from another."""
        return self.sign(b"", 8)


def require(signer: Signer | None, data: bytes, signature: str) -> None:
    """Raise UnsignedError for what `signer` has not signed."""
    if signer is None:
        raise UnsignedError(
            "has a signature that nobody can check: the secret backup_mac is missing",
            "the kit holds it: mngdb secret set backup_mac. Without it, --unsigned restores what "
            "somebody else may have written",
        )
    if not signer.signed(data, signature):
        raise UnsignedError(f"was {NOT_OURS}")
