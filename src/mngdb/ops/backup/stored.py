"""A snapshot in the store, and the log since then, as an engine reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from mngdb.ops.backup.reach import Aim, as_stored
from mngdb.snapshot import Piece, Taken
from mngdb.stores.catalog import Catalog
from mngdb.stores.sealing import Opener, UnreadableError


class StoredSnapshot(Struct, frozen=True):
    """What `aim` restores. `took` is told of what was read of streams, in bytes."""

    catalog: Catalog
    opener: Opener
    aim: Aim
    parents: tuple[StoredSnapshot, ...]
    took: Callable[[int, int], None]
    broken: Callable[[str, str], str | None]
    """Told of a snapshot's id or a segment's key that cannot be read, and why; how to restore what
    was taken before, in words."""

    @property
    def until(self) -> float | None:
        return self.aim.until if self.aim.segments else None  # nothing was written since

    @property
    def stop(self) -> int | None:
        return self.aim.stop

    def log(self) -> Iterator[Piece]:
        archive = self.catalog.archive(self.aim.manifest.instance)
        for one in as_stored(self.aim, archive).segments:
            if one.empty:
                continue
            try:
                piece = archive.read(self.opener, one)
            except UnreadableError as error:
                self.broken(archive.key(one), error.message)
                error.hint = self.aim.without(one)
                raise
            yield piece

    @property
    def taken(self) -> Taken:
        return self.aim.manifest.taken

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.aim.manifest.streams)

    def read(self, name: str) -> Iterator[bytes]:
        manifest = self.aim.manifest
        try:
            yield from self.catalog.read(self.opener, manifest, name, self.took)
        except UnreadableError as error:
            error.hint = self.broken(manifest.id, error.message) or error.hint
            raise
