"""Durations, sizes and shares as people write them: 24h, 64mb, 70%."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any

from msgspec import Struct
from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import core_schema

_DURATION_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
_DURATION = re.compile(r"([0-9]{1,16})\s*(ms|s|m|h|d)", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*(b|kb|mb|gb|tb|k|m|g|t)", re.IGNORECASE)
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")
#: A century: larger numbers are typing errors and overflow the servers' own types.
_LONGEST = timedelta(days=36_500)
_INT32 = 2_147_483_647


def parse_duration(value: object) -> timedelta:
    """A duration from "24h", "10ms", "0s" or "0". Raises ValueError."""
    if isinstance(value, timedelta):
        return value
    if value == 0 and not isinstance(value, bool):
        return timedelta(0)
    text = value.strip() if isinstance(value, str) else ""
    if text == "0":
        return timedelta(0)
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{_cut(value)} is not a duration; write a number with ms, s, m, h or d: 24h"
        )
    milliseconds = int(match[1]) * _DURATION_UNITS[match[2].lower()]
    if milliseconds > _LONGEST.total_seconds() * 1000:
        raise ValueError(f"{text!r} is longer than 100 years")
    return timedelta(milliseconds=milliseconds)


def _cut(value: object) -> str:
    if value is None or isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list" if value else "nothing"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def format_duration(value: timedelta) -> str:
    """The shortest text that parses to the same duration."""
    milliseconds = round(value.total_seconds() * 1000)
    if milliseconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if milliseconds % _DURATION_UNITS[unit] == 0:
            return f"{milliseconds // _DURATION_UNITS[unit]}{unit}"
    return f"{milliseconds}ms"


def parse_size(value: object) -> int:
    """Bytes from "64mb" (powers of 1024). Raises ValueError."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{_cut(value)} is not a size; write a number with kb, mb, gb or tb: 64mb")
    unit = match[2].lower()
    size = int(float(match[1]) * _SIZE_UNITS[unit if unit.endswith("b") else unit + "b"])
    if size > 1 << 60:
        raise ValueError(f"{value!r} is larger than any machine's memory")
    return size


def format_size(size: int) -> str:
    """Bytes with the largest unit that divides them."""
    for unit in ("tb", "gb", "mb", "kb"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return f"{size}b"


def parse_rate(value: object) -> int:
    """Bytes per second from "50MB/s" (powers of 1024). Raises ValueError."""
    text = value.strip() if isinstance(value, str) else ""
    with suppress(ValueError):
        if text.lower().endswith("/s") and (rate := parse_size(text[:-2])):
            return rate
    raise ValueError(f"{_cut(value)} is not a rate; write a size per second: 50mb/s")


def format_rate(rate: int) -> str:
    """The shortest text that parses to the same rate."""
    return f"{format_size(rate)}/s"


class Amount(Struct, frozen=True):
    """Memory as bytes, or as a share (0 < share <= 1) of the memory that there is."""

    bytes: int | None = None
    share: float | None = None

    def of(self, total: int) -> int:
        """Bytes, given the bytes that there are."""
        return self.bytes if self.bytes is not None else int(total * (self.share or 0))

    def __str__(self) -> str:
        if self.bytes is not None:
            return format_size(self.bytes)
        return f"{(self.share or 0) * 100:g}%"

    @classmethod
    def parse(cls, value: object) -> Amount:
        """From "70%" or "3gb". Raises ValueError."""
        if isinstance(value, Amount):
            return value
        match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is not None:
            share = float(match[1]) / 100
            if not 0 < share <= 1:
                raise ValueError(f"{value!r} is not a share between 0% and 100%")
            return cls(share=share)
        try:
            return cls(bytes=parse_size(value))
        except ValueError:
            raise ValueError(f"{_cut(value)} is neither a share (70%) nor a size (3gb)") from None

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )


def _seconds(value: timedelta) -> timedelta:
    if value % timedelta(seconds=1):
        raise ValueError(f"'{format_duration(value)}': the server counts whole seconds here")
    if value.total_seconds() > _INT32:
        raise ValueError(f"'{format_duration(value)}': the maximum is {_INT32} seconds")
    return value


def _milliseconds(value: timedelta) -> timedelta:
    if value / timedelta(milliseconds=1) > _INT32:
        raise ValueError(f"'{format_duration(value)}': the maximum is 24 days here")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^\s*([0-9]{1,16}\s*([mM][sS]|[sSmMhHdD])|0)\s*$",
            "minimum": 0,
            "maximum": 0,
            "examples": ["24h"],
        }
    ),
]
#: Durations that a server keeps in a 32-bit number of seconds, or of milliseconds.
Seconds = Annotated[Duration, AfterValidator(_seconds)]
Milliseconds = Annotated[Duration, AfterValidator(_milliseconds)]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[0-9]{1,20}(\.[0-9]{1,20})?\s*([kmgtKMGT][bB]?|[bB])\s*$",
            "examples": ["64mb"],
        }
    ),
]
Rate = Annotated[
    int,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[0-9]{1,20}(\.[0-9]{1,20})?\s*([kmgtKMGT][bB]?|[bB])\s*/[sS]\s*$",
            "examples": ["50mb/s"],
        }
    ),
]
Memory = Annotated[
    Amount,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[0-9]{1,20}(\.[0-9]{1,20})?\s*(%|[kmgtKMGT][bB]?|[bB])\s*$",
            "examples": ["70%", "3gb"],
        }
    ),
]
