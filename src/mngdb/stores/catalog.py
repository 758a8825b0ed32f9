"""The snapshots of one stack in a store.

    mngdb-1/STACK/INSTANCE/SNAPSHOT/STREAM.000000.zst.age   parts of a stream
    mngdb-1/STACK/INSTANCE/SNAPSHOT/manifest.json           written last: now it is a snapshot
    mngdb-1/STACK/INSTANCE.log/BRANCH/…                     the log since then (`archive`)

A snapshot's id begins with its time and ends with random digits: two that run at the same time, on
one machine or two, never touch each other's objects.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from mngdb.errors import UsageError
from mngdb.stores import Entry, MissingError, Store
from mngdb.stores.archive import Archive
from mngdb.stores.manifest import Manifest, Part, Stream, decode, encode, parents, signed
from mngdb.stores.sealing import Opener, Sealer, UnreadableError, digest
from mngdb.stores.signing import Signer
from mngdb.stores.streams import Progress, StreamWriter, fetched, object_key, patiently, read

ROOT = "mngdb-1"
_MANIFEST = "manifest.json"
#: Manifests that are read at a time.
_READERS = 16
#: Bytes of a manifest at most: it has some 200 for each part of 8 MB.
_LARGEST = 128 << 20
#: Bytes that one has beside its parts, and for each object of its snapshot, at most: whoever can
#: write to the store could have many large ones read before their signature is looked at.
_HEAD, _EACH = 1 << 20, 16 << 10
#: Beside all stacks' snapshots: how to restore them without mngdb.
GUIDE = "RESTORE.md"


class Damage(Struct, frozen=True):
    """Something in the store that is not as it was written."""

    snapshot: str
    text: str


class Snapshot:
    """One that is being made. Streams are written one after the other; `finish` makes it one."""

    def __init__(self, catalog: Catalog, sealer: Sealer, instance: str, progress: Progress) -> None:
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.id = f"{moment}-{secrets.token_hex(3)}"
        self.recipients = sealer.recipients
        self._store = catalog.store
        self._signer = catalog.signer
        self._sealer = sealer
        self._prefix = catalog.prefix(instance, self.id)
        self._progress = progress
        self._streams: list[Stream] = []

    @contextlib.contextmanager
    def stream(self, name: str) -> Iterator[StreamWriter]:
        """Write a stream in the block; it belongs to the snapshot when the block has ended well."""
        with StreamWriter(self._store, self._sealer, self._prefix, name, self._progress) as writer:
            yield writer
        self._streams.append(writer.done)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """What was written."""
        return tuple(self._streams)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest: from now on it is a snapshot. Raises StoreError."""
        if self._signer is None:
            raise ValueError("there is no secret to sign with")
        guide = (Path(__file__).parent / GUIDE).read_bytes()
        where, data = self._store.place, encode(manifest, self._signer)
        patiently(where, lambda: self._store.put(f"{ROOT}/{GUIDE}", guide))
        patiently(where, lambda: self._store.put(f"{self._prefix}/{_MANIFEST}", data))

    def discard(self) -> None:
        """Remove what was written. Raises StoreError."""
        self._store.delete([one.key for one in self._store.entries(self._prefix)])


class Catalog:
    """All of one stack, in one store. All raise StoreError."""

    def __init__(
        self, store: Store, stack: str, signer: Signer | None, *, unsigned: bool = False
    ) -> None:
        """What `signer` has not signed does not count, unless `unsigned`."""
        self.store = store
        self.stack = stack
        self.signer = signer
        self._unsigned = unsigned

    def prefix(self, instance: str, snapshot: str = "") -> str:
        """What the keys of an instance, or of one of its snapshots, begin with."""
        return "/".join(filter(None, (ROOT, self.stack, instance, snapshot)))

    def where(self, instance: str, snapshot: str) -> str:
        """The place of a snapshot's manifest, for people."""
        return f"{self.store.place}/{self.prefix(instance, snapshot)}/{_MANIFEST}"

    def begin(self, sealer: Sealer, instance: str, progress: Progress) -> Snapshot:
        """A new snapshot."""
        return Snapshot(self, sealer, instance, progress)

    def archive(self, instance: str) -> Archive:
        """The log of an instance."""
        prefix = self.prefix(f"{instance}.log")
        return Archive(self.store, prefix, self.signer, unsigned=self._unsigned)

    def snapshots(self, instance: str) -> tuple[list[Manifest], list[Damage]]:
        """Those of an instance, the oldest first, and manifests that cannot be read."""
        listed = self._listed(self.prefix(instance))
        with ThreadPoolExecutor(_READERS, "mngdb-store") as pool:
            read = list(pool.map(lambda one: self._read(one[0], one[1], listed[one]), listed))
        found = [one for one in read if isinstance(one, Manifest)]
        damages = [one for one in read if isinstance(one, Damage)]
        return sorted(found, key=lambda one: one.order), damages

    def _read(self, instance: str, snapshot: str, most: int) -> Manifest | Damage | None:
        """A manifest; None: it was removed meanwhile."""
        try:
            return self._manifest(instance, snapshot, unsigned=self._unsigned, most=most)
        except UnreadableError as error:
            return Damage(snapshot, error.message)
        except UsageError:
            return None

    def unfinished(self, instance: str, before: float) -> list[str]:
        """Keys of objects that no manifest names, where all of their snapshot are older than a
        moment: what took it was killed. Younger ones may be of a snapshot that is being taken."""
        found: dict[str, list[Entry]] = {}
        for entry in self.store.entries(self.prefix(instance)):
            name = entry.key.removeprefix(f"{self.prefix(instance)}/").partition("/")[0]
            found.setdefault(name, []).append(entry)
        return [
            one.key
            for name, every in found.items()
            if f"{self.prefix(instance, name)}/{_MANIFEST}" not in {one.key for one in every}
            and all(one.modified < before for one in every)
            for one in every
        ]

    def stored(self) -> int:
        """Bytes of everything, the log included."""
        return sum(one.size for one in self.store.entries(self.prefix("")))

    def holds_any(self) -> bool:
        """Whether there is a snapshot of any instance."""
        return next(self._instances(), None) is not None

    def instances(self) -> set[str]:
        """Every instance that has a snapshot."""
        return set(self._instances())

    def _instances(self) -> Iterator[str]:
        for entry in self.store.entries(self.prefix("")):
            *_, instance, _, name = entry.key.rsplit("/", 3)
            if name == _MANIFEST:
                yield instance

    def newest_key(self) -> str | None:
        """Public keys that the newest snapshot of any instance is encrypted for, in words; None:
        there is no snapshot."""
        # it is for a message, also where the secret is lost together with the key
        newest = next(self._every(), None)
        if newest is not None:
            return " or ".join(newest.recipients)
        return "that time" if self.holds_any() else None

    def sealed_for(self, public: str) -> bool | None:
        """Whether any snapshot is encrypted for a public key; None: there is none."""
        found = None
        for one in self._every():
            if public in one.recipients:
                return True
            found = False
        return found

    def trusted(self) -> bool | None:
        """Whether the secret has signed any snapshot; None: nothing is signed."""
        found = None
        for (instance, snapshot), most in self._newest_first():
            with contextlib.suppress(UsageError, UnreadableError):
                data = self._data(instance, snapshot, most)
                if signed(data, self.signer):
                    return True
                found = False
        return found

    def _every(self) -> Iterator[Manifest]:
        """Of all instances, signed or not, the newest first; without those that are damaged."""
        for (instance, snapshot), most in self._newest_first():
            with contextlib.suppress(UsageError, UnreadableError):
                yield self._manifest(instance, snapshot, unsigned=True, most=most)

    def _newest_first(self) -> list[tuple[tuple[str, str], int]]:
        """As `_listed`, of all instances."""
        listed = self._listed(self.prefix(""))
        return sorted(listed.items(), key=lambda one: one[0][::-1], reverse=True)

    def _listed(self, prefix: str) -> dict[tuple[str, str], int]:
        """Instance and snapshot of each manifest below a prefix, and how many bytes it may have,
        given how many objects its snapshot has."""
        objects, found = Counter[tuple[str, str]](), list[tuple[str, str]]()
        for entry in self.store.entries(prefix):
            _, _, instance, snapshot, *rest = *entry.key.split("/"), "", ""
            objects[instance, snapshot] += 1
            if rest[0] == _MANIFEST:
                found.append((instance, snapshot))
        return {one: min(_LARGEST, _HEAD + _EACH * objects[one]) for one in found}

    def manifest(self, instance: str, snapshot: str) -> Manifest:
        """The manifest of a snapshot. Raises UsageError for one that there is not,
        UnreadableError."""
        return self._manifest(instance, snapshot, unsigned=self._unsigned)

    def _data(self, instance: str, snapshot: str, most: int) -> bytes:
        """What stands in a manifest's place. Raises UsageError, UnreadableError."""
        try:
            data = self.store.get(f"{self.prefix(instance, snapshot)}/{_MANIFEST}", most)
        except MissingError:
            raise UsageError(
                f"{instance} has no snapshot {snapshot}", "'mngdb backups' lists them"
            ) from None
        if len(data) > most:
            where = self.where(instance, snapshot)
            raise UnreadableError(f"{where} is damaged: no manifest is so large")
        return data

    def _manifest(
        self, instance: str, snapshot: str, *, unsigned: bool, most: int = _LARGEST
    ) -> Manifest:
        where, data = self.where(instance, snapshot), self._data(instance, snapshot, most)
        try:
            found = decode(data, self.signer, unsigned=unsigned)
        except UnreadableError as error:
            raise type(error)(f"{where} {error.message}", error.hint) from None
        if (found.id, found.instance, found.stack) != (snapshot, instance, self.stack):
            raise UnreadableError(f"{where} belongs to another snapshot")
        return found

    def parents(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """Those that a snapshot builds on, the full one first. Raises UnreadableError where one is
        missing or cannot be read."""
        known = dict[str, Manifest]()
        name = manifest.parent
        with contextlib.suppress(UsageError):  # one is missing
            while name is not None and name not in known:
                known[name] = self.manifest(manifest.instance, name)
                name = known[name].parent
        return parents(manifest, known)

    def lacks(self, manifest: Manifest) -> str:
        """Which object of a snapshot is not there as it was written, by name and size alone; empty:
        none."""
        prefix = self.prefix(manifest.instance, manifest.id)
        sizes = {one.key: one.size for one in self.store.entries(prefix)}
        every = (
            (object_key(prefix, stream.name, number), part.stored)
            for stream in manifest.streams
            for number, part in enumerate(stream.parts)
        )
        return next((key for key, size in every if sizes.get(key) != size), "")

    def read(
        self, opener: Opener, manifest: Manifest, stream: str, progress: Progress
    ) -> Iterator[bytes]:
        """The content of one of its streams. Raises UnreadableError as well."""
        prefix = self.prefix(manifest.instance, manifest.id)
        return read(self.store, opener, prefix, manifest.stream(stream), progress)

    def verify(self, manifest: Manifest, opener: Opener | None, progress: Progress) -> list[Damage]:
        """Read all objects of a snapshot and compare them with its manifest; with `opener` what
        they hold, too."""
        prefix = self.prefix(manifest.instance, manifest.id)
        found = []
        for stream in manifest.streams:
            for number, part in enumerate(stream.parts):
                key = object_key(prefix, stream.name, number)
                try:
                    _check(fetched(self.store, key, part), part, opener)
                except UnreadableError as error:
                    text = error.message if key in error.message else f"{key} {error.message}"
                    found.append(Damage(manifest.id, text))
                progress(part.size, part.stored)
        return found

    def remove(self, manifests: Sequence[Manifest]) -> None:
        """Remove snapshots: the manifest first, so that none is half there."""
        for one in manifests:
            prefix = self.prefix(one.instance, one.id)
            self.store.delete([f"{prefix}/{_MANIFEST}"])
            self.store.delete([entry.key for entry in self.store.entries(prefix)])


def _check(sealed: bytes, part: Part, opener: Opener | None) -> None:
    """Compare what an object holds with the manifest. Raises UnreadableError."""
    if opener is not None and digest(opener.open(sealed, part.size)) != part.sha256:
        raise UnreadableError("holds what has another SHA-256")
