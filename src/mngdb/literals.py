"""Whether what stands in a file is a secret: its name, its value, the file that it stands in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from functools import cache
from pathlib import PurePath

from mngdb.data import texts

#: The most frequent letters of text, the most frequent first.
_FREQUENT = "etaoinrslcdpumhfgbyvw"


def finders(words: Iterable[str]) -> dict[str, re.Pattern[bytes]]:
    """Patterns that find any of `words`, in ASCII: one for each of a few letters that
    they share. `re` skips to a letter many times as fast as to one of several, and stops less often
    at a rare one."""
    left, found = {*words}, dict[str, re.Pattern[bytes]]()
    while left:
        letter = min(sorted({*"".join(left)}), key=lambda one: _cost(one, left))
        some = sorted(word for word in left if letter in word)
        found[letter] = re.compile("|".join(_from(letter, word) for word in some).encode())
        left -= {*some}
    return found


def _cost(letter: str, words: Iterable[str]) -> float:
    """Of a search for a letter, for each of the words that it finds, in searches for a rare one."""
    at = _FREQUENT.find(letter)
    stops = 0.0 if at < 0 else 1 - at / len(_FREQUENT)
    return (1 + 2 * stops) / sum(letter in word for word in words)


def _from(letter: str, word: str) -> str:
    """A pattern for a word that begins with one of its letters, and looks back."""
    rest = re.escape(word[word.index(letter) :])
    return rest if word[0] == letter else f"{rest}(?<={re.escape(word)})"


_WORDS = {name: frozenset(words.split()) for name, words in texts(__file__).items()}

_NAME = re.compile(
    r"(?:^|_)(?:PASS(?:WORD|WD|PHRASE)?|SECRET|TOKEN|KEY_?BASE"
    r"|(?:API|PRIVATE|SECRET|ACCESS|ENCRYPTION|SIGNING|APP|AUTH)_?KEY)\d*$"
    r"|PASSW(?:OR)?D\d*$|\wPASS$|\w_PWD$|^JWT_(?:CURRENT|PREVIOUS)$|^REDISCLI_AUTH$|^MASTERAUTH$"
)
#: Of names that say something about a secret.
_ABOUT = ("ALLOW_", "HAS_", "IS_", "NO_", "EXISTING_", "USE_", "REQUIRE_", "ENABLE_")
#: Of tokens that say which page comes next, or that a request is the same again: none lets in.
_PLACES = re.compile(rf"(?:^|_)(?:{'|'.join(sorted(_WORDS['places'])).upper()})_TOKEN$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Values that switch something, name a type, or say that there is none.
SWITCHES = _WORDS["switches"]
#: What is filled in, or looked up elsewhere.
_REFERENCE = re.compile(
    r"[$%@!&*|>\[{<(`+~:?\\].*|.*(?:\$\{|\$\(|\{\{|<%|#\{|%\(|%s|`|://|\\n|\{\w*\}|<[\w -]+>).*"
    r"|\.{0,2}/[\w.@/-]*|[A-Za-z]:\\.*|[\w.]+\(.*|.*(?:os\.environ|process\.env).*|(?:env|file|vault|op|ref|arn|aws|ENC):.*"
    r"|.*(?:\.\.\.|…)|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Za-z_]\w*(?:(?:\.|::|->|\[)[A-Za-z_'\"]\w*\]?)+\(?\)?;?"
)
_DEFAULT = re.compile(r"\$\{\w+:?-(?P<value>[^${}]+)\}")
_WHOLE = re.compile(
    rf"(?:{'|'.join(sorted(_WORDS['whole']))}|xxx+|\.+|\*+)[\W\d_]*",
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"<[^>]*>|\$\{[^}]*\}|\$\([^)]*\)|\{\{.*\}\}|\[[^\]]*\]|.*[-_ ]here"
    r"|(?:your|enter|insert|put|replace|change|add|set|paste)[-_ .]\D*",
    re.IGNORECASE,
)
_WORDS_OF = re.compile(r"[A-Za-z]+")
#: Nothing but signs that stand for signs, after what tells the kind of a token.
_SIGNS = re.compile(r"(?:[A-Za-z]{2,6}[-_])*(?:[xX*.•…_#?0-]|\.\.\.)+(?:[-_.][xX*.•…#?0-]+)*")
_HINTS = finders((*_WORDS["hints"], "user "))
#: A shorter value is a switch or a number.
_LEAST = 4


class Kind(Enum):
    """What a file is for, by its path: how much may be said of a value in it."""

    CONFIG = "config"
    """A program or a server works by it: what stands there lets in."""
    CI = "ci"
    CODE = "code"
    SHOWN = "shown"
    """Documentation, an example, a test: what everybody tries first stands for a secret there."""
    MADE = "made"
    """Made by a program, or words in a language: only the form of a known token says something."""


_MADE_NAMES = re.compile(
    r".*(?:\.lock|[-.]lock\.(?:json|ya?ml)|\.min\.\w+|\.map|\.svg|\.css|\.snap|\.sum|\.po|\.csv"
    r"|\.xlf|\.ipynb|\.patch|\.diff|-shrinkwrap\.json|(?:openapi|swagger).*\.\w+|schema\.\w+)"
)
_MADE_FOLDERS = _WORDS["made-folders"]
_SHOWN_NAMES = re.compile(
    r".*(?:\.(?:md|mdx|rst|adoc|html?|example|sample|template|tmpl|dist|tpl)"
    r"|[-._](?:example|sample|template|test|spec)s?(?:\.\w+)*|(?:test|examples?)[-_].*)"
    r"|(?:readme|changelog).*"
)
_SHOWN_FOLDERS = _WORDS["shown-folders"]
_CODE = _WORDS["code"]


def suspects(small: bytes) -> list[int]:
    """The lines of a file in small letters, from 1, that may hold a secret. Most do not, which is
    known at a fraction of the time that it takes to judge one."""
    starts = set()
    for hint in _HINTS.values():
        found = hint.search(small)
        while found is not None:
            starts.add(small.rfind(b"\n", 0, found.start()) + 1)
            end = small.find(b"\n", found.start())
            found = hint.search(small, end) if end >= 0 else None
    numbers, number, before = [], 1, 0
    for start in sorted(starts):
        number += small.count(b"\n", before, start)
        numbers.append(number)
        before = start
    return numbers


def kind(path: PurePath) -> Kind:
    """By the path within the project."""
    name, folders = path.name.casefold(), _folders(path.parent)
    if _MADE_NAMES.fullmatch(name) or folders & _MADE_FOLDERS:
        return Kind.MADE
    if _SHOWN_NAMES.fullmatch(name) or folders & _SHOWN_FOLDERS:
        return Kind.SHOWN
    if {".github", "workflows"} <= folders or name.endswith((".gitlab-ci.yml", ".gitlab-ci.yaml")):
        return Kind.CI
    return Kind.CODE if is_code(path) else Kind.CONFIG


@cache
def _folders(path: PurePath) -> set[str]:
    """The names of the folders above a file, and what these are made of: `unit-test` is a test."""
    names = str(path).casefold().split("/")
    return {*names, *(part for name in names for part in re.split(r"[-_.]", name))}


def is_code(path: PurePath) -> bool:
    """Whether a value stands there in quotes: without them it is a name."""
    return (path.suffix[1:] or path.name).casefold() in _CODE


def secret_name(name: str) -> bool:
    """Whether a variable or key of this name holds a secret, in any of the ways to write one."""
    plain = _CAMEL.sub("_", name).replace("-", "_").replace(".", "_").upper()
    if not _NAME.search(plain) or plain.startswith(_ABOUT):
        return False
    return not _PLACES.search(plain)


def literal(value: str, of: Kind) -> str | None:
    """What to say of a value that lets in: '', or how bad it is; None: it is none. What a variable
    falls back to is one, too."""
    default = _DEFAULT.fullmatch(value)
    if default is not None:
        return literal(default["value"], of)
    short = len(value) < _LEAST or value.casefold() in SWITCHES
    if short or any(char.isspace() for char in value) or _REFERENCE.fullmatch(value):
        return None
    if stand_in(value):
        return None
    if of in {Kind.CONFIG, Kind.CODE} and re.fullmatch(r"[\d.,]+", value) and len(value) < 6:
        return None  # a limit or a time
    if weak(value):
        return ", and one that everybody tries" if of is Kind.CONFIG else None
    return ""


def looks_random(value: str) -> bool:
    """Whether a text in quotes is no word, name or sentence: in code, names of secrets have many
    values that are none."""
    kinds = (str.isdigit, str.islower, str.isupper)
    some = sum(any(map(of, value)) for of in kinds)
    words = re.fullmatch(r"[A-Za-z]+\d{0,2}(?:[-_. /:|,][A-Za-z]*\d{0,3})*", value)
    return len(value) >= 8 and some > 1 and words is None


def stand_in(value: str) -> bool:
    """Whether it stands for a secret: nobody takes it for one."""
    if _MARKED.fullmatch(value) or _SIGNS.fullmatch(value):
        return True
    words = [word.casefold() for word in _WORDS_OF.findall(_CAMEL.sub(" ", value))]
    if not words or sum(char.isdigit() for char in value) > 4:
        return False
    return not set(words) - _WORDS["asking"] - _WORDS["filling"] and bool(
        set(words) & _WORDS["asking"]
    )


def usual(value: str) -> bool:
    """Whether it is nothing but a word that people write for any password."""
    return bool(_WHOLE.fullmatch(value)) or value.casefold() in _WORDS["common"]


def weak(value: str) -> bool:
    """Whether it holds a word that everybody tries first."""
    lower = value.casefold()
    return any(word in lower for word in _WORDS["common"]) or usual(value)


def placeholder(value: str) -> bool:
    """Whether it is a word that stands for a secret, or one that everybody tries."""
    return stand_in(value) or weak(value)
