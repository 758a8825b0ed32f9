"""What software needs of Redis, as data: `for: celery` in the file (presets.yaml)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import cache
from typing import Literal

from msgspec import Struct, convert
from msgspec.structs import asdict, replace

from mngdb.data import values
from mngdb.spec.engine_info import DRIVERS

#: How alike a name has to be to that of a preset: `go-redis` is not `django-redis`.
_ALIKE = 0.84
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

    @property
    def heard(self) -> tuple[str, ...]:
        """Channels, with the patterns of PSUBSCRIBE."""
        return (*self.channels, *self.patterns)

    def below(self, prefix: str) -> Rights:
        """The same with a prefix filled in."""
        return self._filled(prefix, prefix.rstrip(":./-_"), _plain(prefix))

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
    aliases: tuple[str, ...] = ()
    """Other names that people look for: of parts of it, of what it is used with."""
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
    sessions: bool = False
    """Whether its keys are named after the IDs by which users are logged in."""

    def rights(self, prefix: str | None) -> Rights | None:
        """What it gets, given the prefix of the app's keys. None: it needs one."""
        if prefix and self.prefixed is not None:
            return self.prefixed.below(prefix)
        return self.default

    def document(self, prefix: str) -> dict[str, object]:
        """For JSON, with the prefix filled in."""
        forms = {"default": self.default, "prefixed": self._given(prefix)}
        filled = {key: one and asdict(one.below(prefix)) for key, one in forms.items()}
        return asdict(self) | filled | {"sharing": self.shared(prefix)}

    def _given(self, prefix: str) -> Rights | None:
        """`prefixed` with the keys that the file itself names."""
        form = self.prefixed
        keys = form.below(prefix).keys if form else ()
        return form and replace(form, keys=tuple(dict.fromkeys((f"{prefix}*", *keys))))

    def shared(self, prefix: str) -> str:
        """`sharing` with the prefix filled in."""
        return self.sharing.replace("{prefix}", prefix)

    def lines(self, name: str, prefix: str) -> Iterator[str]:
        """For people: what the file says, and what follows from it."""
        yield self.title
        forms = ((self.default, ""), (self._given(prefix), f"keys: '{prefix}*', "))
        for rights, keys in forms:
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
    """The name of a preset. Raises ValueError with the one that is meant."""
    if value not in presets():
        raise ValueError(f"unknown preset {value[:40]!r}{_meant(value)}")
    return value


def _meant(value: str) -> str:
    """The end of the sentence on an unknown name: what to write. Never another library's name."""
    words = [word for word in re.split(r"[\s,]+", value) if word]
    if len(words) > 1 and presets().keys() >= {*words}:
        return f"; write a list: [{', '.join(words)}]"
    known = {
        _plain(one): name for name, found in presets().items() for one in (*found.aliases, name)
    }
    close = difflib.get_close_matches(_plain(value[:100]), known, n=1, cutoff=_ALIKE)
    if close:
        return f" (did you mean {known[close[0]]!r}?)"
    family = ", ".join(name for name in presets() if name.startswith(f"{value.lower()}-"))
    parts = f"; presets are {family}" if family else ""
    if value in DRIVERS:
        return f"{parts}; drivers are named under 'env': env: {{for: {value}}}"
    return parts or (
        "; 'mngdb render preset' lists them. Software that puts one prefix before all of its keys "
        "needs none"
    )


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def prefix_of(pattern: str) -> str | None:
    """What all keys of a pattern begin with, where that is all it says: "dj:*"."""
    head = pattern.removesuffix("*")
    plain = head and head != pattern and not set(head) & set("*?")
    return head if plain else None
