"""The text of the file that describes what others made: what can be said as keys, the rest as
comments."""

from __future__ import annotations

import contextlib
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from mngdb import __version__
from mngdb.facts.found import FoundApp, FoundServer
from mngdb.secret import Secret
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.engine_models import MODELS
from mngdb.spec.names import check_app
from mngdb.spec.stack import secret_name
from mngdb.spec.yaml12 import type_of
from mngdb.words import plain

_WIDTH = 100
_HEAD = """\
# Written by 'mngdb init --from' (mngdb {version}).{adopted}
name: {name}
"""
_ADOPTED = """
# What is on the servers stays as it is. With 'adopt: true', 'mngdb up' creates and grants what this
# file asks for beyond that, and revokes nothing; 'mngdb plan' lists the rest as "kept".
# Logins keep their passwords, which the vault does not have. 'mngdb secret set INSTANCE_APP' stores
# one that is known; 'mngdb up --allow LOGIN' sets a new one, and applies the file's rights exactly.
# Comments say what the file cannot express; "mend:" marks what is worth changing."""


class Part(Struct, frozen=True):
    """An instance of the file."""

    name: str
    url: str
    """Without a password; empty: the server is to be made, as `script` says."""
    found: FoundServer
    script: str = ""

    @property
    def engine(self) -> str:
        """Its engine; the names of further instances end with a number."""
        return self.name.rstrip("0123456789")


class Text(Struct, frozen=True):
    """The file, with what is known of it."""

    text: str
    apps: int
    described: int
    passwords: Mapping[str, Secret]


def written(name: str, parts: Sequence[Part], target: str) -> Text:
    """The file. Every right in it is one that the file takes."""
    apps: dict[str, dict[str, Any]] = {}
    notes: dict[str, list[str]] = {}
    others: list[str] = []
    described: set[tuple[str, str]] = set()
    passwords: dict[str, Secret] = {}
    for part in parts:
        for app in part.found.apps:
            why = _refused(part, app)
            if why:
                described.add((app.name, part.name))
                others += [f"{app.name} ({part.name}): {why}", *_said(part, app)]
                continue
            assert app.right is not None  # noqa: S101 - else it was refused
            apps.setdefault(app.name, {})[part.name] = _short(part, app.right)
            notes.setdefault(app.name, []).extend(_said(part, app))
            if app.password is not None:
                passwords[secret_name(part.name, app.name)] = app.password
    external = any(part.url for part in parts)
    head = _HEAD.format(version=__version__, name=flow(name), adopted=_ADOPTED if external else "")
    lines = [*head.splitlines()]
    lines += ["adopt: true"] if external else []
    lines += [f"target: {target}"] if target and any(not part.url for part in parts) else []
    named = [part for part in parts if part.name not in ENGINE_INFO]
    for part in parts:
        if part.name in ENGINE_INFO:
            lines += ["", f"{part.name}:", *_instance(part, "  ")]
    lines += ["", "instances:"] if named else []
    for part in named:
        lines += [f"  {part.name}:", f"    engine: {part.engine}", *_instance(part, "    ")]
    lines += ["", "apps:" if apps else "# apps: no login can be described as an app"]
    for login, rights in sorted(apps.items()):
        for note in notes[login]:
            lines += _comment(note, "  ")
        lines.append(f"  {flow(login)}: {flow(rights)}")
    if others:
        lines += ["", "# Logins that are no apps of this file, and why; they stay as they are:"]
        for one in others:
            lines += _comment(one, "", "- ")
    return Text("\n".join(lines) + "\n", len(apps), len(described), passwords)


def flow(value: Any) -> str:
    """A value on one line, as YAML and the file's own `$` take it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if re.fullmatch(r"[\w-]+", value, re.ASCII) and type_of(value) == "str":
        return value
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")


def _instance(part: Part, indent: str) -> Iterator[str]:
    if part.url:
        yield f"{indent}target: {{external: {{url: {flow(part.url)}}}}}"
    for key, value in part.found.keys.items():
        yield from _key(key, value, indent)
    if part.script:
        yield f"{indent}# made by 'mngdb up', with what {plain(part.script)} asks for"
    if part.found.notes:
        told = "not taken from it" if part.script else "not in this file, and left as it is"
        yield f"{indent}# {told}:"
    for note in part.found.notes:
        yield from _comment(note, indent, "- ")


def _key(key: str, value: Any, indent: str) -> Iterator[str]:
    """A key; what is long or nested takes a line for each part."""
    line = f"{indent}{flow(key)}: {flow(value)}"
    if not isinstance(value, Mapping) or len(line) <= _WIDTH:
        yield line
        return
    yield f"{indent}{flow(key)}:"
    for name, below in value.items():
        yield from _key(name, below, indent + "  ")


def _refused(part: Part, app: FoundApp) -> str:
    """Why a login is no app of the file; empty: it is one."""
    if app.right is None:
        return "; ".join(app.notes)
    try:
        check_app(app.name)
        MODELS[part.engine].grant.model_validate(app.right)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        return f"its right cannot stand in the file: {first}"
    except ValueError as error:
        return f"its name cannot be an app's: {error}"
    return ""


def _said(part: Part, app: FoundApp) -> list[str]:
    if app.right is None:
        return []
    return [f"{app.name} ({part.name}): {note}" for note in app.notes]


def _short(part: Part, right: Mapping[str, Any]) -> Any:
    """The short form of a right, where it has one that means the same."""
    model = MODELS[part.engine].grant
    first, *others = right.values()
    with contextlib.suppress(ValidationError):
        if not others and model.model_validate(first) == model.model_validate(right):
            return first
    return dict(right)


def _comment(text: str, indent: str, mark: str = "") -> Iterator[str]:
    lead = f"{indent}# "
    yield from textwrap.wrap(
        plain(text),
        _WIDTH,
        initial_indent=lead + mark,
        subsequent_indent=lead + " " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
