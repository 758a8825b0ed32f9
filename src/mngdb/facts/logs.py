"""What is looked at of the servers' logs."""

from __future__ import annotations

from msgspec import Struct


class LargeLog(Struct, frozen=True):
    """A log that the agent is to keep whole and cannot set aside: its disk has no room for a
    copy. Bytes."""

    folder: str
    size: int
    free: int

    @property
    def text(self) -> str:
        """What is wrong, after the name of its unit."""
        return (
            f"its log has {self.size >> 20} MB, goes on growing and cannot be set aside: "
            f"{self.free >> 20} MB are free under {self.folder}"
        )
