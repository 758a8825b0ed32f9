"""Documents as hands type them: relaxed extended JSON, with keys without quotes, single quotes, and
the few constructors that mongosh has. Nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from bson import Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

from mngdb.errors import UsageError

#: Levels of documents in documents: the server takes 100.
_DEEPEST = 100
_BLANK = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.S)
_WORD = re.compile(r"(?:[^\W\d]|\$)[\w$]*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)")
_REGEX = re.compile(r"/((?:[^/\\\n]|\\.)+)/([a-z]*)")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.S)
_SIGNS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_WORDS: dict[str, Any] = {
    **{"true": True, "false": False, "null": None, "undefined": None},
    **{"NaN": float("nan"), "Infinity": float("inf")},
}
_JSON = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED,
    tz_aware=True,
    tzinfo=UTC,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
#: Strings and comments of one line, and brackets.
_TOKENS = re.compile(
    r"""//.*|/\*.*?\*/|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[\[({]|[\])}]"""
)
_QUOTES = "\"'`"
#: What the makers of values raise for what they do not take.
_UNFIT = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, OSError, BSONError)


def _date(*given: Any) -> datetime:
    if not given:
        return datetime.now(UTC)
    (value,) = given
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000, UTC)
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    "ObjectId": ObjectId,
    "ISODate": _date,
    "Date": _date,
    "NumberInt": int,
    "NumberLong": lambda value: Int64(int(value)),
    "NumberDecimal": lambda value: Decimal128(str(value)),
    "UUID": lambda value: json_util.object_hook({"$uuid": str(UUID(value))}, _JSON),
    "Timestamp": Timestamp,
    "RegExp": lambda pattern, flags="": Regex(pattern, flags),
    "MinKey": MinKey,
    "MaxKey": MaxKey,
}


class Reader:
    """A text and how far it is read. Raises UsageError with the place."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def over(self) -> bool:
        """Whether nothing but blanks is left."""
        self._skip()
        return self._at == len(self._text)

    def take(self, sign: str) -> bool:
        """Read a sign if it is the next."""
        self._skip()
        found = self._text.startswith(sign, self._at)
        self._at += len(sign) * found
        return found

    def need(self, sign: str) -> None:
        """Read a sign that has to be next."""
        if not self.take(sign):
            if sign in ")]}," and self.over():
                raise UsageError(f"a bracket is not closed: expected {sign!r}")
            raise self.wrong(f"expected {sign!r}")

    def word(self) -> str:
        """Read a name; empty: none is next."""
        self._skip()
        match = _WORD.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return match[0] if match else ""

    def rest(self) -> str:
        """Everything that is left."""
        self._skip()
        found, self._at = self._text[self._at :], len(self._text)
        return found

    def wrong(self, text: str) -> UsageError:
        """An error at this place."""
        self._skip()
        left = self._text[self._at :]
        if not left:
            return UsageError(f"{text}, but the statement ends")
        before = self._text[: self._at]
        line, column = before.count("\n") + 1, self._at - before.rfind("\n")
        return UsageError(f"line {line}, column {column}: {text} instead of {left[:20]!r}")

    def arguments(self, end: str = ")") -> list[Any]:
        """What stands between brackets, of which the first is read."""
        return self._several(end, self.value)

    def value(self) -> Any:
        """Read any value."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UsageError(f"more than {_DEEPEST} levels of documents in documents")
        try:
            return self._value()
        finally:
            self._depth -= 1

    def _value(self) -> Any:
        if self.take("{"):
            pairs = dict(self._several("}", self._pair))
            return self._extended(pairs) if any(key.startswith("$") for key in pairs) else pairs
        if self.take("["):
            return self._several("]", self.value)
        self._skip()
        sign = self._text[self._at : self._at + 1]
        if sign and sign in _QUOTES:
            return self._string(sign)
        for pattern, made in ((_NUMBER, _number), (_REGEX, _regex)):
            match = pattern.match(self._text, self._at)
            if match:
                self._at = match.end()
                return made(match)
        begun = self._at
        name = self.word()
        name = self.word() if name == "new" else name
        if name in _CONSTRUCTORS:
            return self._made(name)
        if name in _WORDS:
            return _WORDS[name]
        self._at = begun
        raise self.wrong("expected a value")

    def _made(self, name: str) -> Any:
        self.need("(")
        try:
            return _CONSTRUCTORS[name](*self.arguments())
        except _UNFIT as error:
            raise UsageError(f"{name}: {error}") from None

    def _extended(self, pairs: dict[str, Any]) -> Any:
        try:
            return json_util.object_hook(pairs, _JSON)
        except _UNFIT as error:
            raise UsageError(f"extended JSON: {error}") from None

    def _pair(self) -> tuple[str, Any]:
        self._skip()
        sign = self._text[self._at : self._at + 1]
        key = self._string(sign) if sign and sign in _QUOTES else self.word()
        if not key and (match := re.compile(r"\d+").match(self._text, self._at)):
            key, self._at = match[0], match.end()
        if not key and sign not in _QUOTES:
            raise self.wrong("expected a key")
        self.need(":")
        return key, self.value()

    def _several(self, end: str, read: Callable[[], Any]) -> list[Any]:
        found: list[Any] = []
        while not self.take(end):
            if found:
                self.need(",")
                if self.take(end):
                    break
            found.append(read())
        return found

    def _string(self, quote: str) -> str:
        pattern = rf"{quote}((?:[^{quote}\\]|\\.)*){quote}"
        match = re.compile(pattern, re.S).match(self._text, self._at)
        if match is None:
            raise UsageError("a quote is not closed")
        self._at = match.end()
        text = _ESCAPE.sub(_unescaped, match[1])
        # a pair of \u stands for one character
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _skip(self) -> None:
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at


def _number(match: re.Match[str]) -> Any:
    text = match[0]
    if re.fullmatch(r"[+-]?\d{1,19}", text) and abs(int(text)) < 1 << 63:
        return int(text)
    return float(text)


def _regex(match: re.Match[str]) -> Regex[str]:
    return Regex(match[1], match[2])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _SIGNS.get(match[3], match[3])


def opens(line: str) -> int:
    """How many brackets a line opens and does not close."""
    found = [match[0] for match in _TOKENS.finditer(line)]
    return sum(one in "[({" for one in found) - sum(one in "])}" for one in found)


def shown(value: Any) -> str:
    """A value as one line of relaxed extended JSON."""
    return json_util.dumps(value, json_options=_JSON, ensure_ascii=False)


def documents(values: Sequence[Any], what: str) -> Sequence[dict[str, Any]]:
    """The values, all of which have to be documents. Raises UsageError."""
    for value in values:
        if not isinstance(value, dict):
            raise UsageError(f"{what} has to be a document: {{…}}")
    return values
