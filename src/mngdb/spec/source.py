"""Reads YAML with the place of every key and value, merges files, fills in ${VAR}.

Nothing here knows what the keys mean. Places are kept by path, so that an error in the third
of four merged files names that file, its line and its column.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, field

from mngdb import disk
from mngdb.errors import ForeignError, SpecError, UsageError, of_system
from mngdb.spec.yaml12 import MAX_DEPTH, MAX_NODES, Written, compose, type_of

#: A file larger than this is not a description of a stack; 500 apps need about 50 KB.
MAX_BYTES = 1 << 20

Trail = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|(\{))")
#: What Python makes of bytes in the environment that are not UTF-8.
_SURROGATE = re.compile("[\ud800-\udfff]")


class Place(Struct, frozen=True):
    """Where something stands: file, line and column, both from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Document(Struct):
    """Plain data, and the place of the key (`keys`) and the value (`values`) at each path."""

    data: dict[str, Any]
    keys: dict[Trail, Place] = field(default_factory=dict)
    values: dict[Trail, Place] = field(default_factory=dict)

    def place(self, trail: Trail, *, key: bool = False) -> Place:
        """The place of `trail`, or of its nearest parent that stands in a file."""
        table = self.keys if key else self.values
        if trail in table:
            return table[trail]
        while trail and trail not in self.values:
            trail = trail[:-1]
        return self.values[trail]


def _unreadable(path: Path, error: OSError) -> UsageError:
    said = f"{path}: cannot be read: {error.strerror}"
    if not isinstance(error, PermissionError):
        return UsageError(said)
    closed = disk.nearest(Path.cwd() / path)
    owner = closed.stat().st_uid
    if owner == os.geteuid():
        return UsageError(said, of_system(error).hint)
    return ForeignError(said, f"{closed} is not open to this account: ask its owner", owner)


def read(path: Path, variables: Mapping[str, str]) -> Document:
    """One file. Raises SpecError with file, line and column, or UsageError if unreadable."""
    name = str(path)
    try:
        raw = disk.read_given(path, MAX_BYTES)
    except FileNotFoundError:
        raise UsageError(
            f"{name}: no such file", "create one with 'mngdb init', or choose another with -f"
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{name}: larger than {MAX_BYTES >> 20} MB; this is not a stack's file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{name}: not UTF-8 text (byte {error.start})") from None
    return parse(text, name, variables)


def parse(text: str, name: str, variables: Mapping[str, str]) -> Document:
    """As `read`, from text."""
    root = compose(text, name)
    if root is None:
        raise SpecError(f"{name}: the file is empty", "create one with 'mngdb init'")
    if not isinstance(root, yaml.MappingNode):
        raise SpecError(f"{name}:1:1: the file has to be a mapping of keys, like 'name: mng'")
    document = Document({})
    _Reader(name, variables, document).mapping(root, (), document.data)
    return document


class _Reader:
    def __init__(self, name: str, variables: Mapping[str, str], document: Document) -> None:
        self.name, self.variables, self.document = name, variables, document
        self.nodes = 0

    def place(self, node: yaml.Node) -> Place:
        return Place(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def fail(self, node: yaml.Node, message: str, hint: str | None = None) -> SpecError:
        return SpecError(f"{self.place(node)}: {message}", hint)

    def value(self, node: yaml.Node, trail: Trail) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.fail(node, f"more than {MAX_NODES} values after expanding aliases")
        if len(trail) > MAX_DEPTH:
            raise self.fail(node, f"nested deeper than {MAX_DEPTH} levels")
        self.document.values[trail] = self.place(node)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, trail, {})
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*trail, i)) for i, item in enumerate(node.value)]
        return self.scalar(node)

    def mapping(self, node: yaml.MappingNode, trail: Trail, into: dict[str, Any]) -> Any:
        self.document.values[trail] = self.place(node)
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.fail(key_node, "a key has to be a plain scalar")
            key = str(key_node.value)
            if key in into:
                first = self.document.keys[*trail, key]
                raise self.fail(key_node, f"the key {_cut(key)} is used twice, first at {first}")
            if "${" in key:
                raise self.fail(key_node, "variables are expanded in values, not in keys")
            self.document.keys[*trail, key] = self.place(key_node)
            into[key] = self.value(value_node, (*trail, key))
        return into

    def scalar(self, node: yaml.Node) -> Any:
        text, kind, filled = str(node.value), node.tag.rsplit(":", 1)[-1], str(node.value)
        if "$" in text:
            filled = _VARIABLE.sub(lambda match: self.variable(node, match), text)
        if not filled.isascii() and _SURROGATE.search(filled):
            raise self.fail(node, "a variable is not valid UTF-8")
        if filled != text and isinstance(node, yaml.ScalarNode) and not node.style:
            # as Compose does: `port: ${PORT}` is a number when PORT is one
            kind = type_of(filled)
        if kind == "null":
            return None
        if kind == "bool":
            return filled.lower() == "true"
        try:
            if kind == "int":
                return int(filled)
            if kind == "float":
                number = float(filled)
                if math.isinf(number):
                    raise self.fail(node, f"{_cut(filled)} is out of range")
                return number if str(number) == filled else Written.of(filled)
        except ValueError:  # int() takes 4300 digits at the most
            raise self.fail(node, f"{_cut(filled)} is out of range") from None
        return filled

    def variable(self, node: yaml.Node, match: re.Match[str]) -> str:
        dollar, name, default, broken = match.groups()
        if dollar:
            return "$"
        if broken:
            raise self.fail(
                node,
                "a '${' that does not start a variable",
                "write ${NAME} or ${NAME:-default}; $$ is a literal dollar sign",
            )
        value = self.variables.get(name)
        if value:
            return value
        if default is not None:
            return str(default)
        raise self.fail(
            node,
            f"the variable {name} is {'empty' if name in self.variables else 'not set'}",
            f"set it, or write ${{{name}:-default}}",
        )


def merge(first: Document, second: Document) -> Document:
    """`second` over `first`: mappings are joined key by key, everything else is replaced.

    A key with nothing after it (`postgres:`) leaves a mapping as it is."""
    merged = Document(_join(first.data, second.data, ()), dict(first.keys), dict(first.values))
    merged.keys.update(second.keys)
    merged.values.update(second.values)
    return merged


def _cut(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _join(first: Any, second: Any, trail: Trail) -> Any:
    if isinstance(first, dict) and second is None:
        return first
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    joined = dict(first)
    for key, value in second.items():
        joined[key] = _join(first[key], value, (*trail, key)) if key in first else value
    return joined
