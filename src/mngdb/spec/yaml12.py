"""YAML 1.2's core types, read into nodes that know their place, and written back.

The nodes are composed here, from the parser's events: PyYAML's own composer recurses in C and
takes the whole process down when a file is nested deeply enough.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from mngdb.errors import SpecError
from mngdb.spec import layout

MAX_DEPTH = 50
#: Aliases are followed at most to this many values ("billion laughs").
MAX_NODES = 100_000

_CORE = "tag:yaml.org,2002:"
#: Name, pattern, first characters. `03:00`, `on`, `no`, `0x10` and dates are texts.
_TYPES = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
)
_PATTERNS = {name: re.compile(pattern) for name, pattern, _ in _TYPES}
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Written(float):
    """A number whose text says more: the version 17.10 is not 17.1."""

    text: str

    @classmethod
    def of(cls, text: str) -> Written:
        """From its text."""
        number = cls(text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[object, ...]:
        return (Written.of, (self.text,))

    def __deepcopy__(self, memo: object) -> Written:
        return self


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or our own types would take for something else than a text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, _pattern, _first in _TYPES:
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(_CORE + _name, re.compile(f"^(?:{_pattern})$"), _first)


_Dumper.add_representer(
    Written, lambda dumper, number: dumper.represent_scalar(_CORE + "float", number.text)
)


def dump(data: Any) -> str:
    """YAML that reads back as `data`."""
    return yaml.dump(_escaped(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _escaped(data: Any) -> Any:
    """A dollar sign in a value, never in a key, is filled in when the file is read again."""
    if isinstance(data, dict):
        return {key: _escaped(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_escaped(value) for value in data]
    return data.replace("$", "$$") if isinstance(data, str) else data


def type_of(text: str) -> str:
    """What a plain word means: null, bool, int, float or str."""
    return next((name for name, one in _PATTERNS.items() if one.fullmatch(text)), "str")


def compose(text: str, name: str) -> yaml.Node | None:
    """The one document in `text`, or None if there is none. Raises SpecError."""
    wrong = _FORBIDDEN.search(text)
    if wrong:
        before = text[: wrong.start()]
        line, column = before.count("\n") + 1, wrong.start() - before.rfind("\n")
        what = f"the character U+{ord(wrong[0]):04X} is not allowed in the file"
        raise SpecError(f"{name}:{line}:{column}: {what}")
    loader = _Loader(text)
    try:
        return _Composer(loader, name).document()
    except yaml.MarkedYAMLError as error:
        (line, column), said, hint = layout.told(text, error)
        raise SpecError(f"{name}:{line}:{column}: {said}", hint) from None
    except (yaml.YAMLError, ValueError) as error:
        raise SpecError(f"{name}: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


class _Composer:
    """Events to nodes; recursion ends at MAX_DEPTH."""

    def __init__(self, loader: Any, name: str) -> None:
        self.loader, self.name = loader, name
        self.anchors: dict[str, yaml.Node] = {}
        self.open: set[int] = set()
        self.nodes = 0

    def document(self) -> yaml.Node | None:
        self.loader.get_event()  # the stream's start
        if self.loader.check_event(yaml.StreamEndEvent):
            return None
        self.loader.get_event()
        root = self.node(1)
        self.loader.get_event()
        if not self.loader.check_event(yaml.StreamEndEvent):
            mark = self.loader.peek_event().start_mark
            raise self.fail(mark, "a second document; a file has only one stack")
        return root

    def fail(self, mark: Any, message: str) -> SpecError:
        return SpecError(f"{self.name}:{mark.line + 1}:{mark.column + 1}: {message}")

    def node(self, depth: int) -> yaml.Node:
        event: Any = self.loader.get_event()
        mark = event.start_mark
        self.nodes += 1
        if self.nodes > 2 * MAX_NODES:  # keys are nodes too
            raise self.fail(mark, f"more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise self.fail(mark, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            known = self.anchors.get(event.anchor or "")
            if known is None:
                raise self.fail(mark, f"the alias *{event.anchor} is not defined")
            if id(known) in self.open:
                raise self.fail(mark, f"the alias *{event.anchor} refers to itself")
            return known
        made: yaml.Node
        if isinstance(event, yaml.ScalarEvent):
            tag = self.tag(event, type_of(event.value) if event.implicit[0] else "str")
            made = yaml.ScalarNode(tag, event.value, mark, style=event.style)
            self.anchor(event, made)
            return made
        if isinstance(event, yaml.SequenceStartEvent):
            made = yaml.SequenceNode(self.tag(event, "seq"), [], mark)
        else:
            made = yaml.MappingNode(self.tag(event, "map"), [], mark)
        self.anchor(event, made)
        self.open.add(id(made))
        while not self.loader.check_event(yaml.SequenceEndEvent, yaml.MappingEndEvent):
            below = self.node(depth + 1)
            made.value.append(
                below if isinstance(made, yaml.SequenceNode) else (below, self.node(depth + 1))
            )
        self.loader.get_event()
        self.open.discard(id(made))
        return made

    def anchor(self, event: Any, node: yaml.Node) -> None:
        if event.anchor:
            self.anchors[event.anchor] = node

    def tag(self, event: Any, found: str) -> str:
        """The core tag. `!!str` and its like may be written where they fit; others may not."""
        written = event.tag
        if written in (None, "!", _CORE + found):
            return _CORE + ("str" if written == "!" else found)
        fits = {"str"} if isinstance(event, yaml.ScalarEvent) else set()
        if isinstance(event, yaml.ScalarEvent):
            fits |= {type_of(event.value)} | ({"float"} if found == "int" else set())
        if written.removeprefix(_CORE) in fits:
            return str(written)
        shown = written.replace(_CORE, "!!")
        raise self.fail(event.start_mark, f"the tag {shown!r} is not allowed here")
