"""What a person types to a server without a client of its own: a terminal, or standard input."""

from __future__ import annotations

import contextlib
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mngdb.cli.common import say, tell
from mngdb.errors import ConnectError, MngdbError, UsageError

if TYPE_CHECKING:
    from mngdb.ops.shell import Conversation

_END = frozenset({"quit", "exit"})


def converse(conversation: Conversation[Any]) -> int:
    """Run the statement that there is, or those that come. Returns the exit code: of standard
    input, that of the last statement that failed. Raises MngdbError."""
    with ExitStack() as open_session:
        line = _Line(conversation, open_session)
        line.open()
        if conversation.statement is not None:
            line.run(conversation.statement)
            return 0
        if sys.stdin.isatty():
            _terminal(line)
            return 0
        return _input(line)


class _Line:
    """A conversation's connection: another one where it was lost."""

    def __init__(self, conversation: Conversation[Any], stack: ExitStack) -> None:
        self._conversation = conversation
        self.dialogue = conversation.dialogue
        self._stack = stack
        self._session: Any = None

    def open(self) -> Any:
        """The session. Raises ConnectError."""
        if self._session is None:
            session = self._stack.enter_context(self._conversation.connect())
            self.dialogue.opened(session)
            self._session = session  # not one whose opening was interrupted
        return self._session

    def close(self) -> None:
        """Let go of the session: the answer of an interrupted statement may still come."""
        self._session = None
        self._stack.close()

    def run(self, text: str) -> None:
        """Print what a statement gives. Raises MngdbError."""
        session = self.open()
        try:
            for line in self.dialogue.run(session, text):
                say(line)
                sys.stdout.flush()  # a subscription goes on
        except (ConnectError, KeyboardInterrupt):
            self.close()
            raise


def _input(line: _Line) -> int:
    code, pending, depth = 0, list[str](), 0
    try:
        for text in sys.stdin:
            pending.append(text)
            depth += line.dialogue.opens(text)
            if depth <= 0:
                code = _tried(line, "".join(pending).strip()) or code
                pending, depth = [], 0
    except UnicodeDecodeError:
        raise UsageError("standard input is not UTF-8") from None
    return _tried(line, "".join(pending).strip()) or code


def _tried(line: _Line, statement: str) -> int:
    """Run a statement of many. Returns its exit code."""
    if not statement:
        return 0
    try:
        line.run(statement)
    except ConnectError:
        raise
    except MngdbError as error:
        _told(error)
        return error.exit_code
    return 0


def _terminal(line: _Line) -> None:
    # keys move in the line and bring lines back; those are kept in memory alone
    with contextlib.suppress(ImportError):  # a Python may be built without it
        import readline  # noqa: F401
    while True:
        try:
            statement = _typed(line)
        except EOFError:
            say()
            return
        except KeyboardInterrupt:
            say()
            continue
        except UnicodeDecodeError:
            tell("error: the line is not UTF-8")
            continue
        if statement.rstrip(";()").lower() in _END:
            return
        if statement.lower() == "help":
            say(line.dialogue.help)
            continue
        try:
            if statement:
                line.run(statement)
        except KeyboardInterrupt:
            say()
        except MngdbError as error:
            _told(error)


def _typed(line: _Line) -> str:
    """A statement of one or more lines. Raises EOFError, KeyboardInterrupt."""
    try:
        ask = line.dialogue.prompt(line.open())
    except ConnectError as error:
        _told(error)
        ask = "not connected> "
    lines = [input(ask)]
    depth = line.dialogue.opens(lines[0])
    while depth > 0:
        lines.append(input("... "))
        depth += line.dialogue.opens(lines[-1])
    return "\n".join(lines).strip()


def _told(error: MngdbError) -> None:
    tell(f"error: {error.message}")
    if error.hint:
        tell(f"  hint: {error.hint}")
