"""Decrypts what age has encrypted for a public key (X25519), with OpenSSL's ChaCha20.

pyrage, which encrypts and makes keys, takes 3 to 4 times as long, with Python's lock held: of a
restore that was a quarter. An error in here cannot hide: what is decrypted wrongly has no valid
tag, nor the checksum of its zstd frame.
https://github.com/C2SP/C2SP/blob/main/age.md
"""

from __future__ import annotations

import hmac
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mngdb.secret import Secret

_MAGIC = b"age-encryption.org/v1\n"
#: A recipient's part of the header: its words, and a body whose last line is the short one.
_STANZA = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63})\n")
_END, _MAC = b"---", re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")
_NONCE, _KEY, _TAG = 16, 32, 16
#: Bytes of a chunk as it is stored.
_CHUNK = (64 << 10) + _TAG
#: Bech32's digits, and how many of them are a checksum.
_DIGITS, _CHECKSUM = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", 6


class DecryptError(Exception):
    """It was not encrypted for any of the keys, or is not as it was."""


class Identity:
    """A private key."""

    def __init__(self, key: Secret) -> None:
        """`key` is an age identity, as pyrage reads it."""
        bits = 0
        for digit in key.reveal().lower().rpartition("1")[2][:-_CHECKSUM]:
            bits = bits << 5 | _DIGITS.index(digit)
        self._key = X25519PrivateKey.from_private_bytes((bits >> 4).to_bytes(_KEY, "big"))
        self._public = self._key.public_key().public_bytes_raw()

    def file_key(self, share: bytes, wrapped: bytes) -> bytes | None:
        """The key of a file, of which a stanza has it wrapped; None: for somebody else. Raises
        DecryptError."""
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(share))
            wrap = _derived(shared, share + self._public, b"age-encryption.org/v1/X25519")
            return ChaCha20Poly1305(wrap).decrypt(bytes(12), wrapped, None)
        except InvalidTag:
            return None
        except ValueError:
            raise DecryptError("its header is damaged") from None


def decrypt(sealed: bytes, identities: Sequence[Identity]) -> bytes:
    """What was encrypted for one of the keys. Raises DecryptError."""
    stanzas, end = _header(sealed)
    mac = _MAC.match(sealed, end)
    if mac is None:
        raise DecryptError("its header is damaged")
    key = next(_file_keys(stanzas, identities), None)
    if key is None:
        raise DecryptError("no key here matches")
    said = hmac.digest(_derived(key, b"", b"header"), sealed[: end + len(_END)], "sha256")
    if not hmac.compare_digest(b2a_base64(said, newline=False).rstrip(b"="), mac[1]):
        raise DecryptError("its header is damaged")
    begin = mac.end() + _NONCE
    payload = _derived(key, sealed[mac.end() : begin], b"payload")
    return b"".join(_chunks(memoryview(sealed)[begin:], payload))


def _header(sealed: bytes) -> tuple[list[tuple[bytes, bytes, bytes]], int]:
    """The kind, first word and body of each stanza, and where the last of them ends."""
    if not sealed.startswith(_MAGIC):
        raise DecryptError("it is not an age file")
    stanzas, at = [], len(_MAGIC)
    while found := _STANZA.match(sealed, at):
        kind, _, word = found[1].partition(b" ")
        stanzas.append((kind, word, found[2].replace(b"\n", b"")))
        at = found.end()
    return stanzas, at


def _file_keys(
    stanzas: Sequence[tuple[bytes, bytes, bytes]], identities: Sequence[Identity]
) -> Iterator[bytes]:
    for kind, share, body in stanzas:
        if kind == b"X25519":
            for one in identities:
                if (key := one.file_key(_decoded(share), _decoded(body))) is not None:
                    yield key


def _chunks(stored: memoryview, key: bytes) -> Iterator[bytes]:
    """The content, chunk by chunk: each one's number, and that it is the last, are in its nonce."""
    cipher, count = ChaCha20Poly1305(key), -(-len(stored) // _CHUNK)
    if count == 0 or (count > 1 and len(stored) % _CHUNK == _TAG):
        raise DecryptError("its end is missing")
    for number in range(count):
        nonce = number.to_bytes(11, "big") + bytes([number == count - 1])
        try:
            yield cipher.decrypt(nonce, stored[number * _CHUNK : (number + 1) * _CHUNK], None)
        except InvalidTag:
            raise DecryptError("it is damaged") from None


def _derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY, salt=salt, info=info).derive(secret)


def _decoded(text: bytes) -> bytes:
    try:
        return a2b_base64(text + b"=" * (-len(text) % 4))
    except ValueError:
        raise DecryptError("its header is damaged") from None
