"""Questions with a limit of time, for those who only look."""

from __future__ import annotations

import time
from typing import Any

from mngdb.engines.mongodb.client import NAMESPACE_NOT_FOUND, VIEW, Refused, Session
from mngdb.errors import ConnectError, UnobservableError
from mngdb.facts.mongodb import Document

#: Seconds for one question, and for all.
EACH = 3.0
ALL = 10.0


class Reply(dict[str, Any]):
    """A reply that may lack what every MongoDB tells: another product may speak its language."""

    def __getitem__(self, key: str) -> Any:
        """The value; documents inside are like this one. Raises UnobservableError."""
        try:
            found = super().__getitem__(key)
        except KeyError:
            raise UnobservableError(f"the server does not report {key!r}") from None
        return Reply(found) if type(found) is dict else found


class Questions:
    """Commands with a limit of time. What is refused, or takes too long, is a reason."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._end = time.monotonic() + ALL

    def ask(self, name: str, value: Any = 1, *, on: str = "admin", **rest: Any) -> Document:
        """The reply. Raises UnobservableError; ConnectionLost when the server itself is gone;
        Refused when there is no such collection."""
        left = min(EACH, self._end - time.monotonic())
        if left <= 0:
            raise UnobservableError(f"there was no time left to ask {name}")
        try:
            return Reply(self.session.command(name, value, on=on, limit=left, **rest))
        except Refused as error:
            if error.code in {NAMESPACE_NOT_FOUND, VIEW}:
                raise
            raise UnobservableError(f"{name} is refused: {error.message}") from None
        except ConnectError as error:
            self._still_there(error)
            raise UnobservableError(f"{name} took longer than {left:.0f} seconds") from None

    def _still_there(self, cause: ConnectError) -> None:
        try:
            self.session.command("ping", limit=1.0)
        except (ConnectError, Refused):
            raise ConnectionLost(cause) from None


class ConnectionLost(Exception):  # noqa: N818 — it ends the questions, and no more
    """The server is gone: there is no sense in asking on."""

    def __init__(self, cause: ConnectError) -> None:
        super().__init__(cause.message)
        self.cause = cause
