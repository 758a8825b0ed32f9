"""What a person types to a Redis server, and its answers as redis-cli prints them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from mngdb.engines.redis.client import Session
from mngdb.engines.redis.wire import pack
from mngdb.errors import ConnectError, StepError, UsageError

#: Commands with answers that do not end.
STREAMS = frozenset({"monitor", "subscribe", "psubscribe", "ssubscribe"})
#: Commands whose answer is a text for people: it is printed as it is.
_TEXTS = (
    *(("info",), ("lolwut",), ("client", "list"), ("client", "info"), ("cluster", "info")),
    *(("cluster", "nodes"), ("memory", "doctor"), ("memory", "malloc-stats")),
    *(("latency", "doctor"), ("latency", "graph")),
)
#: Between quotes, or none of them; what follows a quote has to be a blank.
_WORD = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"']\S*))(?=\s|$)""", re.S)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_SHOWN = {92: "\\\\", 34: '\\"', 10: "\\n", 13: "\\r", 9: "\\t", 7: "\\a", 8: "\\b"}
#: What is listed otherwise than an array: what it is called, and what stands after a number.
_LISTS = {b"%": ("hash", "#"), b"~": ("set", "~")}
_LISTED = re.compile(r" *\d+[)#~] ")
#: Bytes that are printed as they are: the rest of ASCII's signs, and no others.
_PRINTABLE = range(32, 127)


class Dialogue:
    """Commands one at a time. It remembers the database that was chosen."""

    help = "a Redis command, as in GET shop:1; quit or Ctrl-D ends"

    def __init__(self, database: str) -> None:
        self._database = database or "0"
        self._chosen = self._database
        self._answers: BinaryIO | None = None

    def opened(self, session: Session) -> None:
        """Go on in a new session."""
        session.limit(None)  # BLPOP waits
        self._answers = session.file()
        if self._chosen != self._database:
            self._ask(session, [b"SELECT", self._chosen.encode()])

    def prompt(self, session: Session) -> str:
        """What stands before what is typed."""
        at = session.access
        where = f"{at.host}:{at.port}" + (f"[{self._chosen}]" if self._chosen != "0" else "")
        return f"{where}> "

    def opens(self, line: str) -> int:
        """Each line is a command."""
        return 0

    def statement(self, words: Sequence[str]) -> str | None:
        """Commands in arguments need no dialogue: see `batch`."""
        return None

    def run(self, session: Session, text: str) -> Iterator[str]:
        """Run a command and give its answers, some without end. Raises UsageError for a quote that
        is not closed, StepError for what the server refused, ConnectError."""
        words = split(text)
        if not words:
            return
        names = [word.decode(errors="replace").lower() for word in words[:2]]
        yield self._ask(session, words, shower(names))
        if names[0] == "select":
            self._chosen = names[1]
        while names[0] in STREAMS:
            yield self._next()

    def _ask(
        self, session: Session, words: Sequence[bytes], show: Callable[[bytes], str] | None = None
    ) -> str:
        session.send(pack(words))
        return self._next(show)

    def _next(self, show: Callable[[bytes], str] | None = None) -> str:
        if self._answers is None:
            raise TypeError("the dialogue has not begun")
        try:
            answer = shown(self._answers, show or quoted)
        except RecursionError:  # the rest of it stands in the way of the next answer
            raise ConnectError("the answer is nested too deeply", kind="down") from None
        except (OSError, ValueError) as error:
            raise ConnectError(f"the connection to Redis is lost: {error}", kind="down") from None
        if answer.startswith("(error) "):
            raise StepError(answer.removeprefix("(error) "))
        return answer


def shower(names: Sequence[str]) -> Callable[[bytes], str]:
    """What prints the texts in the answer to a command, given by its first words."""
    lower = [one.lower() for one in names[:2]]
    return text if any(tuple(lower[: len(one)]) == one for one in _TEXTS) else quoted


def split(line: str) -> list[bytes]:
    """The words of a line, quoted as for redis-cli. Raises UsageError."""
    found, at, end = [], 0, len(line.rstrip())
    while at < end:
        match = _WORD.match(line, at)
        if match is None:
            raise UsageError("a quote is not closed, or has something right after it")
        double, single, bare = match.groups()
        if double is not None:
            found.append(_unescaped(double))
        else:
            word = single.replace("\\'", "'") if single is not None else bare
            found.append(word.encode(errors="surrogateescape"))
        at = match.end()
    return found


def _unescaped(word: str) -> bytes:
    """What stands between double quotes: any byte as \\xHH."""

    def one(match: re.Match[bytes]) -> bytes:
        code, sign = match[1], match[2]
        if code is not None:
            return bytes([int(code, 16)])
        return _ESCAPES.get(sign.decode("latin-1"), sign.decode("latin-1")).encode("latin-1")

    whole = word.encode(errors="surrogateescape")
    return re.sub(rb"\\(?:x([0-9a-fA-F]{2})|(.))", one, whole, flags=re.S)


def quoted(value: bytes) -> str:
    """A text as redis-cli prints it: what is not ASCII as bytes."""
    signs = (_SHOWN.get(b) or (chr(b) if b in _PRINTABLE else f"\\x{b:02x}") for b in value)
    return f'"{"".join(signs)}"'


def text(value: bytes) -> str:
    """A text for people."""
    return value.decode(errors="backslashreplace").rstrip("\r\n").replace("\r\n", "\n")


def shown(answers: BinaryIO, show: Callable[[bytes], str], indent: str = "") -> str:
    """The next answer, RESP 2 or 3; one that begins with `(error) ` is an error. Raises OSError,
    ValueError."""
    line = answers.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError("closed by the server")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode(errors="backslashreplace")
    if kind == b"-":
        return f"(error) {rest.decode(errors='backslashreplace')}"
    if kind in b":(":
        return f"(integer) {int(rest)}"
    if kind == b",":
        return f"(double) {rest.decode()}"
    if kind == b"#":
        return "(true)" if rest == b"t" else "(false)"
    if kind == b"_" or rest == b"-1":
        return "(nil)"
    if kind in b"$!=":
        value = answers.read(int(rest) + 2)[:-2]
        if kind == b"!":
            return f"(error) {text(value)}"
        return text(value[4:]) if kind == b"=" else show(value)
    if kind in b"*~>%":
        return _listed(answers, kind, int(rest), show, indent)
    raise ValueError(f"an answer of the unknown kind {kind!r}")


def _listed(
    answers: BinaryIO, kind: bytes, count: int, show: Callable[[bytes], str], indent: str
) -> str:
    name, sign = _LISTS.get(kind, ("array", ")"))
    if not count:
        return f"(empty {name})"
    width, lines = len(str(count)), []
    for number in range(1, count + 1):
        head = f"{number:>{width}}{sign} "
        more = indent + " " * len(head)
        if name == "hash":
            head += f"{shown(answers, show, more)} => "
        value = shown(answers, show, more)
        if name == "hash" and _LISTED.match(value):
            value = f"\n{more}{value}"
        lines.append(head + value)
    return f"\n{indent}".join(lines)
