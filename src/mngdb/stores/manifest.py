"""What a snapshot is: its manifest, written last. Without one, objects are no snapshot."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from mngdb.snapshot import Taken
from mngdb.stores.sealing import UnreadableError, digest
from mngdb.stores.signing import Signer, require

FORMAT = 2


class Part(Struct, frozen=True):
    """A piece of a stream, one object: `size` bytes in `stored` bytes, with the SHA-256 of both."""

    size: int
    stored: int
    sha256: str
    stored_sha256: str


class Stream(Struct, frozen=True):
    """A file or an archive. Its parts in their order are its content. (Format 1 had the SHA-256 of
    the whole beside those of the parts.)"""

    name: str
    size: int
    parts: tuple[Part, ...]

    @property
    def stored(self) -> int:
        """Bytes in the store."""
        return sum(one.stored for one in self.parts)


class Manifest(Struct, frozen=True, kw_only=True):
    """One snapshot. Moments are UTC, in seconds since the epoch."""

    id: str
    stack: str
    """The stack's id."""
    stack_name: str
    instance: str
    engine: str
    tool: str
    """What made it: `mngdb 0.1.0`."""
    started: float
    finished: float
    taken: Taken
    parent: str | None = None
    """The snapshot that an incremental one builds on."""
    recipients: tuple[str, ...] = ()
    """Public keys that it is encrypted for."""
    streams: tuple[Stream, ...] = ()
    format: int = FORMAT

    @property
    def moment(self) -> float:
        """When the server was as it shows."""
        return self.taken.moment or self.finished

    @property
    def order(self) -> tuple[float, float, str]:
        """By this, the snapshots of an instance are one after the other."""
        return self.moment, self.finished, self.id

    @property
    def size(self) -> int:
        """Bytes of what it holds."""
        return sum(one.size for one in self.streams)

    @property
    def stored(self) -> int:
        """Bytes in the store."""
        return sum(one.stored for one in self.streams)

    def stream(self, name: str) -> Stream:
        """One of its streams. Raises UnreadableError."""
        found = next((one for one in self.streams if one.name == name), None)
        if found is None:
            raise UnreadableError(f"snapshot {self.id} has no stream {name}")
        return found


def parents(of: Manifest, known: Mapping[str, Manifest]) -> tuple[Manifest, ...]:
    """Those of the snapshots `known` by their ids that a snapshot builds on, the full one first.
    Raises UnreadableError where one is missing."""
    found: list[Manifest] = []
    name = of.parent
    while name is not None:
        one = known.get(name)
        if one is None or one in found:
            raise UnreadableError(f"snapshot {of.id} builds on {name}, which is missing or damaged")
        found.append(one)
        name = one.parent
    return tuple(reversed(found))


class _Signed(Struct):
    """The manifest as it is stored: a damaged one is known by its digest, one of others by its
    HMAC-SHA256."""

    sha256: str
    manifest: msgspec.Raw
    hmac: str = ""


def encode(manifest: Manifest, signer: Signer) -> bytes:
    """The object that holds it."""
    text = msgspec.json.encode(manifest)
    signed = _Signed(digest(text), msgspec.Raw(text), signer.sign(text))
    return msgspec.json.encode(signed) + b"\n"


def decode(data: bytes, signer: Signer | None, *, unsigned: bool = False) -> Manifest:
    """The manifest that an object holds. Raises UnreadableError, also for one that `signer` has not
    signed, unless those count that are `unsigned`."""
    text, signature = _opened(data)
    if not unsigned:
        require(signer, text, signature)
    try:
        found = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError:
        raise UnreadableError("was written by a newer version of mngdb") from None
    if found.format > FORMAT:
        raise UnreadableError(f"has format {found.format}; this version of mngdb reads {FORMAT}")
    for name in (found.id, *(one.name for one in found.streams)):
        if not _fits(name):
            raise UnreadableError(f"has a name that leads elsewhere: {name!r}")
    return found


def signed(data: bytes, signer: Signer | None) -> bool:
    """Whether `signer` has signed the manifest that an object holds. Raises UnreadableError, also
    for one that nobody has signed."""
    text, signature = _opened(data)
    if not signature:
        raise UnreadableError("has no signature")
    return signer is not None and signer.signed(text, signature)


def _opened(data: bytes) -> tuple[bytes, str]:
    """The text of a manifest and its signature. Raises UnreadableError."""
    try:
        found = msgspec.json.decode(data, type=_Signed)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnreadableError("is damaged: it is not a manifest") from None
    if digest(bytes(found.manifest)) != found.sha256:
        raise UnreadableError("is damaged: its SHA-256 does not match")
    return bytes(found.manifest), found.hmac


def _fits(name: str) -> bool:
    """Whether a name stays below the folder, or the key, that it is added to."""
    return not ({"", ".", ".."} & set(name.split("/")) or "\0" in name)
