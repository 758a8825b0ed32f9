"""From files to a stack, or to a list of what is wrong with them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mngdb.errors import SpecError
from mngdb.spec import source
from mngdb.spec.file import ENGINES, AnyGrant, AnyInstance, StackFile
from mngdb.spec.source import Document, Trail
from mngdb.spec.stack import Stack, declared, resolve

#: More problems than this are cut: they mostly follow from the first.
_MOST = 20
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/@\s:]*:[^/@\s]+@", re.IGNORECASE)
_SECRET_KEY = re.compile(r"pass(word|wd|phrase)?$|^pw$|secret$|token$|api_?key$", re.IGNORECASE)
_SECRET_HINT = (  # noqa: S105
    "secrets live in the vault: mngdb makes them, or 'mngdb secret set NAME' reads one from "
    "standard input"
)

#: How pydantic marks an error in a mapping's key.
_KEY = "[key]"

Problem = tuple[Trail, str, str | None]


def load(paths: Sequence[Path], variables: Mapping[str, str]) -> Stack:
    """The stack that `paths`, merged in order, describe. Raises SpecError or UsageError."""
    document = source.read(paths[0], variables)
    for path in paths[1:]:
        document = source.merge(document, source.read(path, variables))
    return build(document, tuple(paths))


def build(document: Document, files: tuple[Path, ...]) -> Stack:
    """The stack of a document that was read. Raises SpecError with every problem found."""
    problems = list(_literal_secrets(document.data, ()))
    try:
        parsed = StackFile.model_validate(document.data)
    except ValidationError as error:
        problems += [_problem(document, one, ()) for one in error.errors(include_url=False)]
        raise _spec_error(document, problems) from None
    specs = declared(parsed)
    grants: dict[str, dict[str, AnyGrant]] = {}
    for app, rights in parsed.apps.items():
        grants[app] = {}
        for name, value in rights.items():
            if name not in specs:
                problems.append(_no_instance(app, name, list(specs)))
                continue
            model = ENGINES[specs[name].engine][2]
            try:
                grants[app][name] = model.model_validate(value)
            except ValidationError as error:
                trail = ("apps", app, name)
                found = error.errors(include_url=False)
                problems += [_problem(document, one, trail, model) for one in found]
    problems += _conflicts(parsed, specs, grants)
    if problems:
        raise _spec_error(document, problems)
    return resolve(parsed, grants, files)


def _literal_secrets(data: Any, trail: Trail) -> Sequence[Problem]:
    if isinstance(data, dict):
        return [p for key, value in data.items() for p in _literal_secrets(value, (*trail, key))]
    if isinstance(data, list):
        return [p for i, value in enumerate(data) for p in _literal_secrets(value, (*trail, i))]
    if isinstance(data, str) and _URL_WITH_PASSWORD.search(data):
        return [(trail, "a password does not belong in the file", _SECRET_HINT)]
    return []


def _no_instance(app: str, name: str, known: list[str]) -> Problem:
    trail = ("apps", app, name)
    if name in ENGINES:
        return (
            trail,
            f"the app {app} uses {name}, which this file does not have",
            (f"add '{name}: {{}}' to the file"),
        )
    return trail, f"unknown instance {name!r}{_near(name, [*known, *ENGINES])}", None


def _conflicts(
    parsed: StackFile,
    specs: Mapping[str, AnyInstance],
    grants: Mapping[str, Mapping[str, AnyGrant]],
) -> list[Problem]:
    problems: list[Problem] = []
    if not specs:
        problems.append(((), "the file names no database", "add 'postgres: {}' or another engine"))
    ports: dict[int, str] = {}
    for name, spec in specs.items():
        trail: Trail = (name,) if name in ENGINES else ("instances", name)
        if (spec.target or parsed.target).external is not None:
            if "port" in spec.model_fields_set:
                problems.append(
                    ((*trail, "port"), "the port of an external server is in its url", None)
                )
            continue
        if spec.target and spec.target.local and spec.target.local.model_fields_set:
            text = "data and account are said once, for the stack"
            problems.append(((*trail, "target"), text, "move them to the top level's 'target'"))
        if spec.port in ports:
            text = f"{name} and {ports[spec.port]} both want port {spec.port}"
            problems.append(((*trail, "port"), text, f"give {name} a port of its own"))
        ports.setdefault(spec.port, name)
        tls = parsed.tls if spec.tls is None else spec.tls
        if not tls and any(not b.startswith("127.") and b != "::1" for b in spec.bind):
            text = f"{name} listens beyond loopback without encryption"
            problems.append(((*trail, "bind"), text, "add 'tls: true'"))
    owners: dict[tuple[str, str], str] = {}
    for app, rights in grants.items():
        for name, grant in rights.items():
            if getattr(grant, "access", None) != "owner":
                continue
            database = getattr(grant, "database", "")
            first = owners.setdefault((name, database), app)
            if first != app:
                text = f"{first} and {app} both own the database {database!r} of {name}"
                hint = f"give {app} 'access: readwrite' or a database of its own"
                problems.append((("apps", app, name), text, hint))
    return problems


def _problem(
    document: Document, error: Any, prefix: Trail, model: type[BaseModel] = StackFile
) -> Problem:
    """A pydantic error as place, sentence and hint."""
    trail = _in_data(document.data, prefix + tuple(error["loc"]), error["type"])
    kind, message = error["type"], str(error["msg"])
    if kind == "extra_forbidden":
        key = str(trail[-1])
        if _SECRET_KEY.search(key):
            return trail, f"a secret does not belong in the file (key {key!r})", _SECRET_HINT
        known = _known_keys(model, trail[len(prefix) : -1], document.data)
        return trail, f"unknown key {key!r}{_near(key, known)}", None
    if kind == "missing":
        return trail, f"the key {str(error['loc'][-1])!r} is missing", None
    message = message.removeprefix("Value error, ")
    if message.startswith("Input should be a valid dictionary"):
        message = "a mapping of keys is wanted here"
    elif message.startswith("Input should "):
        message = message.replace("Input should ", "has to ", 1)
        if isinstance(error.get("input"), str | int | float | bool | None):
            message += f", not {_shown(error['input'])}"
    return trail, message, None


def _shown(value: object) -> str:
    text = repr(value) if value is not None else "empty"
    return text if len(text) <= 60 else text[:57] + "..."


def _in_data(data: Any, loc: Trail, kind: str) -> Trail:
    """The part of a pydantic location that stands in the file (it also names union members)."""
    trail: Trail = ()
    for index, part in enumerate(loc):
        if (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        ):
            data = data[part]  # type: ignore[index]
        elif index == len(loc) - 1 and (kind == "extra_forbidden" or part == _KEY):
            pass
        else:
            continue
        trail = (*trail, part)
    return trail


def _known_keys(model: type[BaseModel], trail: Trail, data: Any) -> list[str]:
    """The keys that the model at `trail` takes, found by walking the models' types."""
    current: list[Any] = [model]
    for part in trail:
        data = data.get(part) if isinstance(data, dict) else None
        engine = data.get("engine") if isinstance(data, dict) else None
        below = [child for one in current for child in _child(one, str(part))]
        current = [one for one in below if engine is None or _is_engine(one, engine)]
    return [key for one in current for key in getattr(one, "model_fields", {})]


def _child(kind: Any, part: str) -> list[Any]:
    """The types that may stand under `part` of a model, a mapping or a list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(part)
        return _plain(field.annotation) if field else []
    return _plain(get_args(kind)[-1]) if get_origin(kind) in (dict, list) else []


def _plain(kind: Any) -> list[Any]:
    """A type without Annotated and unions around it."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [one for part in get_args(kind) for one in _plain(part)]
    return [kind]


def members(kind: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, however deep."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [one for part in get_args(kind) for one in members(part)]


def _is_engine(model: Any, engine: str) -> bool:
    fields = getattr(model, "model_fields", {})
    return "engine" not in fields or fields["engine"].default == engine


def _near(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f"; known are: {', '.join(dict.fromkeys(known))}" if known else ""


def _spec_error(document: Document, problems: Sequence[Problem]) -> SpecError:
    lines: list[str] = []
    for trail, message, hint in problems[:_MOST]:
        unknown = message.startswith(("unknown ", "a secret ", "the app ")) or trail[-1:] == (_KEY,)
        trail = trail[:-1] if trail[-1:] == (_KEY,) else trail
        place = document.place(trail, key=unknown)
        path = "" if unknown or not trail else ".".join(str(part) for part in trail) + ": "
        lines.append(f"{place}: {path}{message}")
        if hint:
            lines.append(f"  hint: {hint}")
    if len(problems) > _MOST:
        lines.append(f"… and {len(problems) - _MOST} more")
    return SpecError("\n".join(lines))
