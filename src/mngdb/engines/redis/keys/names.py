"""Names of keys to patterns: user:123:cart -> user:*:cart, and never too many of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

#: Digits are alike, so that names which differ in them only are looked at once.
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_HEXES = bytes.maketrans(b"123456789abcdefABCDEF", b"0" * 21)
_HEX = rb"[0-9a-fA-F]"
#: What stands for one of many: UUIDs, hashes in hex, random words (both with digits in between),
#: and numbers, except those of a version (v2).
_ONE_OF_MANY = re.compile(
    rb"(?<![0-9A-Za-z])(?:" + _HEX + rb"{8}(?:-" + _HEX + rb"{4}){3}-" + _HEX + rb"{12}"
    rb"|(?=[A-Za-z]*\d)" + _HEX + rb"{8,}|" + _HEX + rb"{16,}"
    rb"|(?=[A-Za-z]*\d+[A-Za-z]+\d)[0-9A-Za-z]{12,})(?![0-9A-Za-z])"
    rb"|(?<!\d)(?<![:/|._-]v)\d+"
)
#: Those of them that are so whatever their letters and digits, where all of these are a 0.
_ID = re.compile(rb"(?<![0-9A-Za-z])(?:0{8}(?:-0{4}){3}-0{12}|0{16,})(?![0-9A-Za-z])")
_BINARY = re.compile(rb"[^\x20-\x7e]+")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]+")
_DIGIT = re.compile(rb"\d")
_STARS = re.compile(rb"\*{2,}")
_SPLIT = re.compile(rb"([:/|.])")
_MEMO = 50_000
#: Bytes of a name, and words of it, beyond which nobody looks for a pattern.
_LONG = 300
_WORDS = 24
STAR = b"*"
#: What is not in a name as a rule.
_BETWEEN = b"\r\n$"


class Names:
    """Gives the pattern of a name. Remembers names that are alike."""

    def __init__(self) -> None:
        self._memo: dict[bytes, bytes] = {}
        self._ids: dict[bytes, tuple[tuple[int, int], ...]] = {}
        self._folder = Folder()

    def patterns(self, keys: Sequence[bytes]) -> list[bytes]:
        """The pattern of each key."""
        # all at once: a call for each takes longer than what it does
        alike = _BETWEEN.join(keys).translate(_DIGITS).split(_BETWEEN)
        if len(alike) != len(keys):
            alike = [key.translate(_DIGITS) for key in keys]
        found = list(map(self._memo.get, alike))
        if None in found:
            return [
                pattern if pattern is not None else self._look(key)
                for pattern, key in zip(found, keys, strict=True)
            ]
        return cast(list[bytes], found)

    def __getstate__(self) -> dict[str, object]:
        """What is remembered can be found anew: it need not travel."""
        return {"_memo": {}, "_ids": {}, "_folder": self._folder}

    def merge(self, other: Names) -> None:
        """Fold from now on what the other folds too."""
        self._memo.clear()
        self._folder.merge(other._folder)

    def fold(self, patterns: Iterable[bytes], fan_out: int, depth: int) -> Mapping[bytes, bytes]:
        """See Folder.fold; names that come later are folded too."""
        self._memo.clear()
        return self._folder.fold(patterns, fan_out, depth)

    def _look(self, key: bytes) -> bytes:
        """The pattern of a key that differs from all before in more than its digits: an ID of it
        may be all that is new."""
        if len(key) > _LONG:
            return self._learn(key)
        alike = key.translate(_HEXES)
        spans = self._ids.get(alike)
        if spans is None:
            if len(self._ids) >= _MEMO:
                self._ids.clear()
            # from the end, so that what is cut out moves none of the others
            spans = tuple(one.span() for one in reversed(list(_ID.finditer(alike))))
            self._ids[alike] = spans
        for begin, end in spans:
            key = key[:begin] + STAR + key[end:]
        return self._memo.get(key.translate(_DIGITS)) or self._learn(key)

    def _learn(self, key: bytes) -> bytes:
        name = key if len(key) <= _LONG else key[:_LONG] + STAR
        try:
            name.decode()
        except UnicodeDecodeError:
            name = _BINARY.sub(STAR, name)
        else:
            name = _CONTROL.sub(STAR, name)
        # a separator in front: the first word begins as the others do
        found = _STARS.sub(STAR, _ONE_OF_MANY.sub(STAR, b":" + name)[1:]) or b'""'
        found = self._folder.folded(found)
        if len(self._memo) >= _MEMO:
            self._memo.clear()
        if len(key) <= _LONG and not _DIGIT.search(found):
            self._memo[key.translate(_DIGITS)] = found
        return found


class Folder:
    """Makes one pattern of many where a place in the name has too many different words (users'
    names, say). Such a place stays folded."""

    def __init__(self) -> None:
        self._wild: set[tuple[bytes, ...]] = set()

    def merge(self, other: Folder) -> None:
        """Fold where the other does too."""
        self._wild |= other._wild

    def fold(self, patterns: Iterable[bytes], fan_out: int, depth: int) -> Mapping[bytes, bytes]:
        """Pattern to the one that it becomes: at most `fan_out` different words in one place;
        the first `depth` words of a name are left alone, whatever their number."""
        root = _Node()
        for pattern in patterns:
            node = root
            for word in _SPLIT.split(pattern, _WORDS):
                child = node.children.get(word)
                if child is None:
                    child = node.children[word] = _Node()
                node = child
            node.patterns.append(pattern)
        self._fold(root, (), fan_out, depth * 2)
        return dict(root.leaves(()))

    def folded(self, pattern: bytes) -> bytes:
        """A pattern with what is folded already."""
        if not self._wild:
            return pattern
        path: tuple[bytes, ...] = ()
        for word in _SPLIT.split(pattern, _WORDS):
            path += (STAR if path in self._wild else word,)
        return b"".join(path)

    def _fold(self, node: _Node, path: tuple[bytes, ...], fan_out: int, depth: int) -> None:
        # every second level holds separators
        if len(path) % 2 == 0:
            if len(node.children) > fan_out and len(path) >= depth:
                self._wild.add(path)
            if path in self._wild and len(node.children) > 1:
                merged = _Node()
                for child in node.children.values():
                    merged.take(child)
                node.children = {STAR: merged}
        for word, child in node.children.items():
            self._fold(child, (*path, word), fan_out, depth)


class _Node:
    __slots__ = ("children", "patterns")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node] = {}
        self.patterns: list[bytes] = []

    def take(self, other: _Node) -> None:
        """Have what the other has."""
        self.patterns += other.patterns
        for word, child in other.children.items():
            if word in self.children:
                self.children[word].take(child)
            else:
                self.children[word] = child

    def leaves(self, path: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
        """Each pattern and what it has become."""
        for pattern in self.patterns:
            yield pattern, b"".join(path)
        for word, child in self.children.items():
            yield from child.leaves((*path, word))


def shown(name: bytes, limit: int = 200) -> str:
    """A name for people and for JSON: what is no text is escaped, what is long is cut."""
    text = name.decode("utf-8", "backslashreplace")
    text = re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", text)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(name)} bytes)"
