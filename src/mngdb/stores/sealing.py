"""How an object's content is kept: compressed with zstd, then encrypted with age.

Both are standard formats: `age --decrypt | zstd --decompress` reads an object without mngdb.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mngdb.errors import MngdbError, UsageError
from mngdb.secret import Secret

#: zstd's own scale. The lowest keeps up with a disk on one processor.
_LEVEL = 1
#: A frame that zstd's tools skip: this number, its length, its content (RFC 8878, 3.1.2).
_MAGIC = 0x184D2A50
_SKIPPED = struct.Struct("<II")
#: The digits of a fingerprint.
_DIGITS = 8


class UnreadableError(MngdbError):
    """What was read is not what was written."""


def digest(data: bytes | memoryview) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(recipients: Iterable[str]) -> str:
    """Digits that tell one set of public keys from another."""
    return digest("\n".join(sorted(set(recipients))).encode())[:_DIGITS]


def make_key() -> Secret:
    """A new private key (an age identity)."""
    import pyrage

    return Secret(str(pyrage.x25519.Identity.generate()))


def recipient(key: Secret) -> str:
    """The public key of a private one: who has it can write, and cannot read. Raises UsageError."""
    return str(_identity(key).to_public())


def _identity(key: Secret) -> Any:
    import pyrage

    try:
        return pyrage.x25519.Identity.from_str(key.reveal())
    except pyrage.IdentityError:
        raise UsageError(
            "the backup key is not an age identity",
            "age identities begin with AGE-SECRET-KEY-1; set the one that the kit holds: mngdb "
            "secret set backup_key",
        ) from None


class Sealer:
    """Seals for `recipients`, age's public keys. May be used by several threads."""

    def __init__(self, recipients: Sequence[str]) -> None:
        """Raises UsageError for what is not a public key."""
        import pyrage

        try:
            self._recipients = [pyrage.x25519.Recipient.from_str(one) for one in recipients]
        except pyrage.RecipientError:
            raise UsageError(
                "a recipient of backups is not an age public key", "it begins with age1"
            ) from None
        self.recipients = tuple(recipients)
        self.fingerprint = fingerprint(recipients)

    def seal(self, data: bytes | memoryview, head: bytes = b"") -> bytes:
        """The content of an object that holds `data`. `head` is kept in a frame before it that
        zstd's tools skip."""
        import pyrage
        import zstandard

        packed = zstandard.ZstdCompressor(_LEVEL, write_checksum=True).compress(data)
        if head:
            packed = _SKIPPED.pack(_MAGIC, len(head)) + head + packed
        sealed: bytes = pyrage.encrypt(packed, self._recipients)
        return sealed


class Opener:
    """Reads what was sealed for one of `keys`. May be used by several threads."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        """Raises UsageError for what is not a private key."""
        from mngdb.stores import age

        for key in keys:
            _identity(key)
        self._keys = [age.Identity(key) for key in keys]

    def open(self, sealed: bytes, size: int) -> bytes:
        """The `size` bytes that were sealed. Raises UnreadableError."""
        return _unpacked(self._decrypted(sealed), size)

    def open_headed(self, sealed: bytes, size: Callable[[bytes], int]) -> tuple[bytes, bytes]:
        """The head and the bytes that were sealed, of which `size` tells by the head how many.
        Raises UnreadableError."""
        packed = self._decrypted(sealed)
        if len(packed) < _SKIPPED.size:
            raise UnreadableError("has no head")
        magic, length = _SKIPPED.unpack_from(packed)
        if magic != _MAGIC:
            raise UnreadableError("has no head")
        head = packed[_SKIPPED.size : _SKIPPED.size + length]
        return head, _unpacked(packed[_SKIPPED.size + length :], size(head))

    def _decrypted(self, sealed: bytes) -> bytes:
        from mngdb.stores import age

        try:
            return age.decrypt(sealed, self._keys)
        except age.DecryptError as error:
            raise UnreadableError(f"cannot be decrypted: {error}") from None


def _unpacked(packed: bytes, size: int) -> bytes:
    import zstandard

    try:
        if zstandard.get_frame_parameters(packed).content_size > size:
            raise UnreadableError(f"holds more than {size} bytes")
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    except zstandard.ZstdError as error:
        raise UnreadableError(f"cannot be decompressed: {error}") from None
    if len(data) != size:
        raise UnreadableError(f"holds {len(data)} bytes instead of {size}")
    return data
