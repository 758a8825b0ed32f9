"""Secrets in a project's files: what a line gives away, what a CI file should not hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from msgspec import Struct

from mngdb.checks.environment import SECRET_NAME
from mngdb.checks.strength import placeholder
from mngdb.data import texts
from mngdb.findings import Severity


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
_URI = re.compile(
    r"\b(?:rediss?|postgres(?:ql)?(?:\+\w+)?|mongodb(?:\+srv)?|mysql|amqps?)://"
    r"[^\s:/@'\"`<>{}$]*:(?P<password>[^\s@'\"`]+)@"
)
#: -a and --pass of redis-cli, -p and --password of mongosh and its like, when a value follows.
_ARGUMENT = re.compile(
    r"\bredis-cli\b[^|;&\n]*?\s(?:-a|--pass)[ =]+\S"
    r"|\bmongo(?:sh|dump|restore|import|export)?\b[^|;&\n]*?\s(?:-p|--password)(?:[ =]+[^\s-]|=\S)"
)
_WRITTEN = re.compile(
    r"\b(?:echo|printf)\b[^|\n]*?(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY)\w*[ \\\"']*[=:]",
    re.IGNORECASE,
)
#: In scripts, Dockerfiles, lists of Compose and the commands of CI files: NAME=value.
_ASSIGNED = re.compile(
    r"(?:^|[\s'\"])(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>\"[^\"]*\"|'[^']*'|[^\s'\"#;&|]+)"
)
#: As SECRET_NAME, of clients whose name ends otherwise.
_CLIENTS = {"PGPASSWORD", "REDISCLI_AUTH", "MYSQL_PWD"}
#: A shorter value is a switch or a number.
_LEAST = 4
#: All of it, or one variable; of that, its name.
_PRINTED = re.compile(
    r"\b(?:console\.(?:log|info|debug|warn|error)|print|log(?:ger|ging)?\.\w+)\([^)]*"
    r"\b(?:process\.env|os\.environ)\b(?!\.keys)(?:\.get\(|\.|\[)?[\"']?(?P<name>\w*)"
)
#: Variables whose value holds a secret, beside those that are one.
_HOLDER = re.compile(r"(?:^|_)(?:URL|URI|DSN|CONNECTION_?STRING|CREDENTIALS?|AUTH|KEY|PWD)$")


def given(value: str) -> bool:
    """Whether it is a value, and neither a variable's name nor a placeholder."""
    filled_in = re.fullmatch(r"[%$]\w+%?|.*(?:\$\{|\$\(|\{\{|<|\{[\w.]*\}).*", value)
    # what people write for any password at all
    usual = value.strip("*.x…").casefold() in {"", "pass", "pw", "pwd", "p", "user"}
    return not (filled_in or usual or placeholder(value))


def lines(text: str) -> Iterator[Hit]:
    """What the lines of a file give away."""
    if not any(one.search(text) for one in (_URI, _ARGUMENT, _WRITTEN, _PRINTED, _ASSIGNED)):
        return  # most files, at a fraction of the time
    for number, line in enumerate(text.splitlines(), 1):
        if any(given(match["password"]) for match in _URI.finditer(line)):
            yield Hit("scan.connection-string", number, "a connection string with a password")
        if _ARGUMENT.search(line):
            yield Hit("scan.argument", number, "a password in the arguments")
        if _WRITTEN.search(line):
            yield Hit("scan.written", number, "a password is written out")
        if any(_secret(match["name"]) for match in _PRINTED.finditer(line)):
            yield Hit("scan.printed", number, "the environment is printed")
        for match in _ASSIGNED.finditer(line):
            name, value = match["name"], match["value"].strip("\"'")
            secret = SECRET_NAME.search(name) or name in _CLIENTS
            if secret and len(value) >= _LEAST and given(value) and not _WRITTEN.search(line):
                yield Hit("scan.assigned", number, f"{name} is a plain value")


def _secret(name: str) -> bool:
    """Whether a variable that is printed gives a secret away; '': all of them are."""
    return not name or bool(SECRET_NAME.search(name.upper()) or _HOLDER.search(name.upper()))


#: Where a value comes from that is not in the file: all but `vars`, which everybody can read.
_ELSEWHERE = "secrets|steps|needs|github|inputs|env|matrix|jobs?"


def github(text: str) -> Iterator[Hit]:
    """A workflow of GitHub Actions: `env`, `with` and `secrets` of the workflow, its jobs and their
    steps. What stands for a password in a service, which ends with its job, is none."""
    maps = {"env", "with", "secrets"}
    yield from _ci(text, maps, rf".*\$\{{\{{(?:[^}}]*[^\w.}}])?(?:{_ELSEWHERE})[.\[].*")


def gitlab(text: str) -> Iterator[Hit]:
    """.gitlab-ci.yml: `variables` of the pipeline and of its jobs."""
    yield from _ci(text, {"variables"}, r"\$\w+|\$\{\w+\}|.*\$\[\[.*")


def included(text: str) -> Iterator[str]:
    """The files of the same project that a .gitlab-ci.yml includes: patterns, from its top."""
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError):
        return  # that it cannot be read is told where it is judged
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value != "include":
            continue
        for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            local = [one] if isinstance(one, yaml.ScalarNode) else []
            if isinstance(one, yaml.MappingNode):
                local = [inner for name, inner in one.value if name.value == "local"]
            yield from (str(found.value).lstrip("/") for found in local)


def _ci(text: str, maps: set[str], referring: str) -> Iterator[Hit]:
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark: Any = getattr(error, "problem_mark", None)
        yield Hit("scan.ci-file", mark.line + 1 if mark else 1, "not valid YAML")
        return
    for name, node, passing in _variables(root, maps):
        value = node.value
        secret = SECRET_NAME.search(name.upper().replace("-", "_"))
        holds = any(given(match["password"]) for match in _URI.finditer(value))
        holds = holds or bool(secret and value and not (passing and placeholder(value)))
        if holds and not re.fullmatch(referring, value):
            yield Hit("scan.ci-plain", node.start_mark.line + 1, f"{name} is a plain value")


def _variables(
    node: yaml.Node | None,
    maps: set[str],
    seen: frozenset[int] = frozenset(),
    passing: bool = False,
) -> Iterator[tuple[str, yaml.ScalarNode, bool]]:
    """Every name and value of the mappings that are called so, and whether it is of a service that
    passes. Aliases may lead in circles."""
    if node is None or id(node) in seen or len(seen) > 50:
        return
    seen |= {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _variables(one, maps, seen, passing)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value in maps and isinstance(value, yaml.MappingNode):
                yield from ((*found, passing) for found in _scalars(value))
            else:
                yield from _variables(value, maps, seen, passing or key.value == "services")


def _scalars(
    node: yaml.MappingNode, seen: frozenset[int] = frozenset()
) -> Iterator[tuple[str, yaml.ScalarNode]]:
    for key, value in node.value:
        if key.value == "<<" and id(value) not in seen:  # others' variables, merged into these
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for one in merged:
                if isinstance(one, yaml.MappingNode):
                    yield from _scalars(one, seen | {id(value)})
        elif isinstance(value, yaml.ScalarNode):
            yield str(key.value), value
        elif isinstance(value, yaml.MappingNode):  # GitLab: {value: …, description: …}
            for inner, one in value.value:
                if inner.value == "value" and isinstance(one, yaml.ScalarNode):
                    yield str(key.value), one
