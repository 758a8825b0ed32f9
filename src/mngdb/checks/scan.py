"""Secrets in a project's files: what a line gives away. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from mngdb.data import texts
from mngdb.findings import Severity
from mngdb.literals import SWITCHES, Kind, literal, looks_random, secret_name, usual


class Rule(Struct, frozen=True):
    """What is looked for. `title` says what is true where nothing is found."""

    id: str
    title: str
    severity: Severity
    remedy: str
    sources: tuple[str, ...]


class Hit(Struct, frozen=True):
    """A place where a rule found something; no value."""

    rule: str
    line: int
    what: str


RULES: dict[str, Rule] = {
    name: Rule(name, text["title"], text["severity"], text["remedy"], tuple(text["sources"]))
    for name, text in texts(__file__).items()
}
#: As detect-secrets has it, in any comment.
ALLOWED = re.compile(r"pragma: ?allowlist[ -]secret")
#: A longer line was not written by a person.
LONGEST = 4000
_URI = re.compile(
    r"\b(?:rediss?|postgres(?:ql)?(?:\+\w+)?|mongodb(?:\+srv)?|mysql(?:\+\w+)?|mariadb|amqps?)://"
    r"[^\s:/@'\"`<>{}$]*:(?P<password>[^\s@'\"`]+)@(?P<host>[\w.-]*)"
)
#: Where nobody else gets in.
_HERE = re.compile(r"(?:localhost|127\.0\.0\.1|host\.docker\.internal|)$")
#: Of nobody: RFC 2606.
_NOWHERE = re.compile(r"(?:.*\.)?(?:example(?:\.\w+)?|test|invalid)$")
#: -a and --pass of redis-cli, -p and --password of mongosh and its like, when a value follows.
_ARGUMENT = re.compile(
    r"\bredis-cli\b[^|;&\n]*?\s(?:-a|--pass)[ =]+\S"
    r"|\bmongo(?:sh|dump|restore|import|export)?\b[^|;&\n]*?\s(?:-p|--password)(?:[ =]+[^\s-]|=\S)"
)
#: What is in each line of the two, found in a fraction of the time.
_CLIENTS, _WRITERS = ("redis-cli", "mongo"), ("echo", "printf")
_WRITTEN = re.compile(
    r"\b(?:echo|printf)\b[^|\n]*?(?<![\w:])(?P<name>\w+)[ \\\"']*[=:]"
    r"(?P<value>[ \\\"']*[^\s\\\"']*)"
)
#: In scripts, Dockerfiles, lists of Compose and the commands of CI files: NAME=value.
_ASSIGNED = re.compile(
    r"(?:^|[\s'\"])(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>\"[^\"]*\"|'[^']*'|[^\s'\"#;&|]+)"
)
#: A line of a configuration file, whatever its dialect; also in a mapping in braces.
_SET = re.compile(
    r"(?:^[\s-]*|[{,]\s*)[\"']?(?P<name>[A-Za-z_][\w.-]*)[\"']?(?::\s+|\s*=\s*|\":)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s#,}{\[]\S*)"
)
#: In code, a text in quotes.
_QUOTED = re.compile(
    r"\b(?P<name>[A-Za-z_][\w-]*)[\"']?(?:\s*:\s*\w+)?\s*(?:=>|:=|=|:)\s*(?P<value>\"[^\"\s]+\"|'[^'\s]+')"
)
#: What servers and their tools read, each in a form of its own: what it is, what is in each line of
#: it in small letters (found in a fraction of the time), the form.
_FORMS = (
    ("requirepass", "requirepass",
     re.compile(r"(?:^\s*|--)requirepass[\s=\"',]+(?P<value>[^\s\"',]+)")),
    ("masterauth", "masterauth",
     re.compile(r"(?:^\s*|--)masterauth[\s=\"',]+(?P<value>[^\s\"',]+)")),
    ("auth-pass", "sentinel",
     re.compile(r"^\s*sentinel\s+auth-pass\s+\S+\s+\"?(?P<value>[^\s\"]+)")),
    ("a user's password", "user",
     re.compile(r"(?:^|\s)user\s+\S+\s.*?[\s\"']>(?P<value>[^\s\"']+)")),
    ("a login's password", "'",
     re.compile(r"(?i:(?:USER|ROLE|LOGIN)\s.*?\bPASSWORD|IDENTIFIED\s+BY)"
                r"\s+[eE]?'(?P<value>[^']+)'")),
    ("a user's password", "pwd", re.compile(r"\bpwd[\"']?\s*:\s*[\"'](?P<value>[^\"']+)[\"']")),
)  # fmt: skip
#: In a file of this name each line is a login.
_OF_FILES = (
    ("pgpass", "", re.compile(r"^[^#\s:][^:]*:[^:]*:[^:]*:[^:]*:(?P<value>.+)$")),
    ("userlist.txt", "", re.compile(r"^\s*\"[^\"]*\"\s+\"(?P<value>[^\"]+)\"")),
)
LISTS = tuple(name for name, _, _ in _OF_FILES)
#: All of it, or one variable; of that, its name.
_PRINTED = re.compile(
    r"\b(?:console\.(?:log|info|debug|warn|error)|print|log(?:ger|ging)?\.\w+)\([^)]*"
    r"\b(?:process\.env|os\.environ)\b(?!\.keys)(?:\.get\(|\.|\[)?[\"']?(?P<name>\w*)"
)
#: Variables whose value holds a secret, beside those that are one.
_HOLDER = re.compile(r"(?:^|_)(?:URL|URI|DSN|CONNECTION_?STRING|CREDENTIALS?|AUTH|KEY|PWD)$")


def connection(text: str, of: Kind) -> bool:
    """Whether it holds a connection string that lets in."""
    for match in _URI.finditer(text) if "://" in text else ():
        password, host = match["password"], match["host"]
        if literal(password, Kind.CONFIG) is None or _NOWHERE.match(host):
            continue
        if of is Kind.CONFIG:
            return True
        known = looks_random(password) if of is Kind.SHOWN else not usual(password)
        if known and not _HERE.match(host):
            return True
    return False


def lines(
    text: str, numbers: Iterable[int], of: Kind, name: str = "", *, code: bool = False
) -> Iterator[Hit]:
    """What lines of a file give away: those with these numbers, from 1. `name`: the file's, in
    small letters; `code`: values stand in quotes."""
    forms = _FORMS + tuple(form for form in _OF_FILES if name.endswith(form[0]))
    every = text.split("\n")
    for number in range(1, len(every) + 1) if len(forms) > len(_FORMS) else numbers:
        line = every[number - 1]
        if len(line) > LONGEST:
            continue
        if connection(line, of) and not (code and of is Kind.SHOWN):
            yield Hit("scan.connection-string", number, "a connection string with a password")
        if of is not Kind.MADE and _any(_CLIENTS, line) and _ARGUMENT.search(line):
            yield Hit("scan.argument", number, "a password in the arguments")
        if "env" in line and any(_secret(match["name"]) for match in _PRINTED.finditer(line)):
            yield Hit("scan.printed", number, "the environment is printed")
        if _any(_WRITERS, line) and any(map(_is_written, _WRITTEN.finditer(line))):
            yield Hit("scan.written", number, "a password is written out")
        elif of is not Kind.MADE and not (code and of is Kind.SHOWN):  # of a test: made up
            whole = (
                f"{line} {every[number].strip(' -')}"
                if _OPENS.search(line) and every[number:]
                else line
            )
            for what in _assigned(whole, of, forms, code):
                yield Hit("scan.assigned", number, what)


#: The end of an argument's name in a list, whose value stands in the next line.
_OPENS = re.compile(r"^\s*-\s*[\"']?--(?:requirepass|masterauth)[\"']?\s*$")


def _assigned(
    line: str, of: Kind, forms: Sequence[tuple[str, str, re.Pattern[str]]], code: bool
) -> set[str]:
    """What a line says of secrets that stand in it."""
    patterns = (_QUOTED,) if code else (_ASSIGNED, _SET)
    doubtful = code or of is Kind.SHOWN
    found: dict[str, str] = {}
    for pattern in patterns:
        for match in pattern.finditer(line):
            if secret_name(match["name"]):
                value = match["value"].rstrip(",;").strip("\"'")
                value = value if value.startswith("$") else value.rstrip(")]}\"'")
                said = literal(value, of)
                if said is not None and (not doubtful or looks_random(value)):
                    found[match["name"]] = said
    small = line.lower()
    for name, word, pattern in forms:
        for match in pattern.finditer(line) if word in small else ():
            said = literal(match["value"].strip("'\""), of)
            if said is not None:
                found[name] = said
    return {f"{name} is a plain value{said}" for name, said in found.items()}


def _any(words: Iterable[str], line: str) -> bool:
    """Whether a line has one of them: it is known in a fraction of the time of a pattern."""
    return any(word in line for word in words)


def _is_written(match: re.Match[str]) -> bool:
    """Whether what a script writes is a secret, and no word about one."""
    value = match["value"].strip(" \\\"'")
    filled_in = value.startswith(("$", "%"))
    plain = match[0].endswith("=" + match["value"]) and value.casefold() not in SWITCHES
    word = match["name"].casefold() == "pass"  # what a test says
    return not word and secret_name(match["name"]) and bool(value) and (filled_in or plain)


def _secret(name: str) -> bool:
    """Whether a variable that is printed gives a secret away; '': all of them are."""
    return not name or secret_name(name) or bool(_HOLDER.search(name.upper()))
