"""What keys have together: the smallest thing that is counted."""

from __future__ import annotations

Part = list[int]
"""Count, bytes, and the sum of squared bytes."""


class Row:
    """What keys of one pattern and type have together."""

    __slots__ = ("all", "asked", "forever", "idle", "sure", "sure_forever", "sure_idle")

    def __init__(self) -> None:
        self.all: Part = [0, 0, 0]
        self.asked: Part = [0, 0, 0]
        """Those drawn to be asked whether they live for ever and are idle, and of them …"""
        self.forever: Part = [0, 0, 0]
        self.idle: Part = [0, 0, 0]
        self.sure: Part = [0, 0, 0]
        """Those of which it is known and that stand for themselves alone, and of them …"""
        self.sure_forever: Part = [0, 0, 0]
        self.sure_idle: Part = [0, 0, 0]

    def put(self, keys: int, size: int, forever: bool | None, idle: bool | None) -> None:
        """So many keys more of `size` bytes each; see Tally.add."""
        asked = forever is not None or idle is not None
        self._grow(keys, size, (self.all, True), (self.asked, asked),
                   (self.forever, forever), (self.idle, idle))  # fmt: skip

    def put_sure(self, size: int, forever: bool | None, idle: bool | None) -> None:
        """A key that stands for itself alone."""
        self._grow(1, size, (self.all, True), (self.sure, True),
                   (self.sure_forever, forever), (self.sure_idle, idle))  # fmt: skip

    def _grow(self, keys: int, size: int, *parts: tuple[Part, bool | None]) -> None:
        together = keys * size
        for part, grows in parts:
            if grows:
                part[0] += keys
                part[1] += together
                part[2] += together * size

    def add(self, other: Row) -> None:
        """Have what the other has too."""
        for name in Row.__slots__:
            mine, more = getattr(self, name), getattr(other, name)
            setattr(self, name, [a + b for a, b in zip(mine, more, strict=True)])
