"""Snapshots of a made-up engine, for tests of stores and of what is kept in them."""

from __future__ import annotations

import random

from mngdb.secret import Secret
from mngdb.snapshot import Taken
from mngdb.stores.catalog import Catalog, Snapshot
from mngdb.stores.manifest import Manifest
from mngdb.stores.sealing import (
    Sealer,
    make_key,
    recipient,
)
from mngdb.stores.signing import Signer, make_secret

#: Bytes of a part, where a stream is to have many.
SMALL = 1 << 12
KEY, OTHER = make_key(), make_key()


SIGNER = Signer(make_secret())


def nothing(_: int, __: int) -> None:
    """Takes progress."""


def data(size: int, seed: int = 1) -> bytes:
    """Bytes of which half compress."""
    return b"".join(random.Random(seed).randbytes(64) + b"." * 64 for _ in range(size // 128))


def made(
    catalog: Catalog, content: dict[str, bytes], instance: str = "pg", key: Secret = KEY
) -> Manifest:
    """A snapshot of these streams."""
    snapshot = catalog.begin(Sealer([recipient(key)]), instance, nothing)
    for name, one in content.items():
        with snapshot.stream(name) as stream:
            for at in range(0, len(one), 1000):
                stream.write(one[at : at + 1000])
    found = described(snapshot, instance)
    snapshot.finish(found)
    return found


def described(snapshot: Snapshot, instance: str = "pg") -> Manifest:
    """What its manifest says."""
    return Manifest(
        id=snapshot.id,
        stack="stack",
        stack_name="mng",
        instance=instance,
        engine="toy",
        tool="mngdb",
        started=1.0,
        finished=2.0,
        taken=Taken(kind="full", product="Toy", version="1", source="7", position={"end": "0/1"}),
        recipients=snapshot.recipients,
        streams=snapshot.streams,
    )


#: Streams: of many parts, of none, of one.
CONTENT = {"base.tar": data(10 * SMALL), "empty": b"", "one": b"x", "whole": data(SMALL, 2)}
