"""`drop` and `dropDatabase` in an oplog."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from bson.raw_bson import RawBSONDocument

from mngdb.engines.mongodb.collections import BUCKETS, documents
from mngdb.engines.mongodb.oplog import OWN, database_of, position, seconds
from mngdb.snapshot import Removal, Saved

#: How people write them.
DROP, DROP_DATABASE = ("drop", "drop collection"), ("dropDatabase", "drop database")
#: What an entry has that is a command, and some others by chance: most need not be parsed.
_COMMAND = b"\x02op\x00\x02\x00\x00\x00c\x00"


def removals(saved: Saved) -> Iterator[Removal]:
    """Each of them. A database's collections are dropped one by one before it is: the first of
    these is where that begins."""
    dropped: dict[str, tuple[int, float]] = {}
    for at, entry in _entries(saved, dropped):
        name = database_of(entry)
        asked = entry["o"] if entry["op"] == "c" else {}
        moment = seconds(entry["wall"])
        if "drop" in asked and name not in OWN:
            dropped.setdefault(name, (at - 1, moment))
            collection = asked["drop"].removeprefix(BUCKETS)
            yield Removal(at - 1, moment, DROP, f"{name}.{collection}")
        elif "dropDatabase" in asked:
            yield Removal(*dropped.pop(name, (at - 1, moment)), DROP_DATABASE, name)
        else:
            for one in asked.get("applyOps", [entry]):
                dropped.pop(database_of(one), None)  # it was not a part of what comes


def _entries(saved: Saved, dropped: Sized) -> Iterator[tuple[int, RawBSONDocument]]:
    """The entries that may matter, once each, with their positions: commands, and all while there
    are databases of which something was dropped."""
    point = saved.taken.log
    last = point.position if point is not None else 0
    for piece in saved.log():
        for document in documents(piece.data):
            if not dropped and _COMMAND not in document:
                continue
            entry = RawBSONDocument(document)
            at = position(entry["ts"])
            if at > last:
                last = at
                yield at, entry
