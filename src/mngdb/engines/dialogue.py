"""What a person types to a server where none of its own clients is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

S_contra = TypeVar("S_contra", contravariant=True)


class Dialogue(Protocol[S_contra]):
    """Takes statements one at a time, and remembers what they chose."""

    help: str

    def opened(self, session: S_contra) -> None:
        """Go on in a new session, as it was in the one before. Raises MngdbError."""
        ...

    def prompt(self, session: S_contra) -> str:
        """What stands before what is typed."""
        ...

    def opens(self, line: str) -> int:
        """How many brackets a line opens and does not close: a statement ends with the line after
        which none is open."""
        ...

    def statement(self, words: Sequence[str]) -> str | None:
        """The statement that the words of a command line are; None: they are for a client."""
        ...

    def run(self, session: S_contra, text: str) -> Iterator[str]:
        """Run a statement and give what it prints, which may have no end. Raises UsageError for
        what it does not understand, MngdbError for what the server refused, ConnectError."""
        ...
