"""What software needs of Redis, as data: `for: celery` in the file (presets.yaml)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal

from msgspec import Struct, convert
from msgspec.structs import asdict, replace

from mngdb.data import values
from mngdb.spec.problems import near

#: What may be evicted, as a server of ours gets it where the file does not say.
_EVICTION = {
    "noeviction": "noeviction: no key may be lost",
    "volatile": "volatile-lru: only keys that expire may be lost",
    "allkeys": "any policy that evicts keys which never expire",
}


class Rights(Struct, frozen=True, forbid_unknown_fields=True):
    """Patterns that the software uses, and settings of its own that belong to them."""

    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    """Literal patterns of PSUBSCRIBE."""
    client: tuple[str, ...] = ()
    """What the software itself has to be told, as its users write it."""
    own: bool = False
    """Whether its names are such that nothing else can be on the instance."""

    def below(self, prefix: str) -> Rights:
        """The same with a prefix filled in."""
        return self._filled(prefix, prefix.rstrip(":./-_"), re.sub("[^a-z0-9]", "", prefix.lower()))

    def anywhere(self) -> Rights:
        """The same with `*` for the prefix: what it uses whatever it is told."""
        return self._filled("*", "*", "*")

    def _filled(self, prefix: str, bare: str, plain: str) -> Rights:
        words = {"{prefix}": prefix, "{bare}": bare, "{plain}": plain}

        def filled(texts: tuple[str, ...]) -> tuple[str, ...]:
            for word, value in words.items():
                texts = tuple(text.replace(word, value) for text in texts)
            return texts

        return replace(
            self,
            keys=filled(self.keys),
            channels=filled(self.channels),
            patterns=filled(self.patterns),
            client=filled(self.client),
        )


class Preset(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of software. It has `default`, `prefixed` or both."""

    title: str
    sharing: str
    """How two apps of this kind share a server, or why they cannot."""
    default: Rights | None = None
    """Without a prefix of the app's own. None: it needs one."""
    prefixed: Rights | None = None
    """With a prefix. None: the software has no such setting."""
    commands: tuple[str, ...] = ()
    """Rules for commands that apps do not have otherwise."""
    alone: tuple[str, ...] = ()
    """The same, on an instance that the app has to itself."""
    settings: dict[str, str] = {}
    """Settings of the server that it needs."""
    eviction: Literal["noeviction", "volatile", "allkeys"] | None = None
    """What may be evicted: nothing, keys that expire, or any key, since most never expire."""

    def rights(self, prefix: str | None) -> Rights | None:
        """What it gets, given the prefix of the app's keys. None: it needs one."""
        if prefix and self.prefixed is not None:
            return self.prefixed.below(prefix)
        return self.default

    def document(self, prefix: str) -> dict[str, object]:
        """For JSON, with the prefix filled in."""
        forms = {"default": self.default, "prefixed": self.prefixed}
        filled = {key: one and asdict(one.below(prefix)) for key, one in forms.items()}
        return asdict(self) | filled | {"sharing": self.shared(prefix)}

    def shared(self, prefix: str) -> str:
        """`sharing` with the prefix filled in."""
        return self.sharing.replace("{prefix}", prefix)

    def lines(self, name: str, prefix: str) -> Iterator[str]:
        """For people: what the file says, and what follows from it."""
        yield self.title
        for rights, keys in ((self.default, ""), (self.prefixed, f"keys: '{prefix}*', ")):
            if rights is not None:
                yield f"\nredis: {{{keys}for: {name}}}"
                yield from _rows(rights.below(prefix))
        yield ""
        if self.commands:
            yield f"commands: {' '.join(self.commands)}"
        if self.alone:
            yield f"commands, on an instance of its own: {' '.join(self.alone)}"
        for setting, value in self.settings.items():
            yield f"server setting: {setting} {value}"
        if self.eviction is not None:
            yield f"eviction: {_EVICTION[self.eviction]}"
        yield f"several apps on one server: {self.shared(prefix)}"


def _rows(rights: Rights) -> Iterator[str]:
    for title, texts in (
        ("keys", rights.keys),
        ("channels", rights.channels),
        ("PSUBSCRIBE", rights.patterns),
    ):
        if texts:
            yield f"  {title + ':':<11} {', '.join(texts)}"
    for text in rights.client:
        yield f"  the app:    {text}"


@cache
def presets() -> dict[str, Preset]:
    """All of them, by name."""
    return convert(values(__file__), dict[str, Preset])


def check_name(value: str) -> str:
    """The name of a preset. Raises ValueError with the nearest."""
    if value not in presets():
        raise ValueError(f"unknown preset {value[:40]!r}{near(value, list(presets()))}")
    return value


def prefix_of(pattern: str) -> str | None:
    """What all keys of a pattern begin with, where that is all it says: "dj:*"."""
    head = pattern.removesuffix("*")
    plain = head and head != pattern and not set(head) & set("*?")
    return head if plain else None
