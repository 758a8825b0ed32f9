"""From files to a stack, or to a list of what is wrong with them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from mngdb.errors import UsageError
from mngdb.spec import source
from mngdb.spec.app import AppKeys, check_app_keys
from mngdb.spec.base import BaseGrant, BaseInstance
from mngdb.spec.conflicts import conflicts, unkept
from mngdb.spec.engine_info import DRIVERS, ENGINE_INFO
from mngdb.spec.engine_models import MODELS
from mngdb.spec.file import StackFile
from mngdb.spec.presets import presets
from mngdb.spec.problems import KEY, Problem, did_you_mean, near, spec_error
from mngdb.spec.source import Document, Trail
from mngdb.spec.stack import Stack, declared, resolve
from mngdb.spec.target_info import TARGET_INFO
from mngdb.spec.yaml12 import type_of

#: Looking for the nearest key takes time: no more errors than this are looked at closely.
_MOST = 200
#: A password in a URL, or in PostgreSQL's `name=value` form. Repeats are bounded: a file of one
#: long word takes no longer than any other.
_PASSWORD = re.compile(
    r"://[^/@\s:]{0,200}+:[^@\s]{1,500}+@"
    r"|(?<![a-z_])(?:password|passwd|pwd)\s{0,9}+=\s{0,9}+[^\s&]",
    re.IGNORECASE,
)
_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|^(pw|pwd|auth)$|secrets?$|token$|credentials?$"
    r"|(api|access|private)[_-]?key$",
    re.IGNORECASE,
)
_VAULT_HINT = (
    "secrets live in the vault: mngdb makes them, or 'mngdb secret set NAME' reads one from "
    "standard input"
)


def load(paths: Sequence[Path], variables: Mapping[str, str], target: str | None = None) -> Stack:
    """The stack that `paths`, merged in order, describe. `target`, one of `for_stacks`, is meant
    in place of the file's, for those instances that can live there; what the file says of that one
    stays. Raises SpecError or UsageError."""
    noted = _Noted(variables)
    document = source.read(paths[0], noted)
    for path in paths[1:]:
        document = source.merge(document, source.read(path, noted))
    if target is not None:
        for place in _places(document.data, target):
            said = place.get("target")
            given = said if isinstance(said, dict) else {}
            place["target"] = {target: given[target]} if target in given else target
    return replace(build(document, tuple(paths)), variables=frozenset(noted.names))


def _places(data: dict[str, Any], target: str) -> list[dict[str, Any]]:
    """Where the file gets the target that a command names: at the top, or at each instance whose
    engine can live there. Raises UsageError where there is none."""
    engines = TARGET_INFO[target].engines
    if engines is None:
        return [data]
    for name in engines & data.keys():
        data[name] = {} if data[name] is None else data[name]
    others = data.get("instances")
    every = [data.get(name) for name in sorted(engines)]
    every += [
        one
        for one in (others.values() if isinstance(others, dict) else ())
        if isinstance(one, dict) and one.get("engine") in engines
    ]
    found = [one for one in every if isinstance(one, dict)]
    if not found:
        titles = " or ".join(ENGINE_INFO[name].title for name in sorted(engines))
        raise UsageError(
            f"target {target} is for {titles}, which the file has not",
            f"add '{min(engines)}: {{}}' to the file",
        )
    return found


class _Noted(Mapping[str, str]):
    """Variables, and which of them were asked for."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def build(document: Document, files: tuple[Path, ...]) -> Stack:
    """The stack of a document that was read. Raises SpecError with every problem found."""
    problems = list(_literal_secrets(document.data, ()))
    try:
        parsed = StackFile.model_validate(document.data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems += [_problem(document, one, ()) for one in found[:_MOST]]
        raise spec_error(document, problems, files, more=max(0, len(found) - _MOST)) from None
    specs = declared(parsed)
    grants: dict[str, dict[str, BaseGrant]] = {}
    keys: dict[str, AppKeys] = {}
    for app, written in parsed.apps.items():
        grants[app] = {}
        rights, unplaced = with_software(app, written, specs)
        problems += unplaced
        try:
            given = {key: rights[key] for key in AppKeys.model_fields if key in rights}
            keys[app] = AppKeys.model_validate(given)
        except ValidationError as error:
            found = error.errors(include_url=False)
            problems += [_problem(document, one, ("apps", app), AppKeys) for one in found]
        for name, value in rights.items():
            if name in AppKeys.model_fields:
                continue
            if name not in specs:
                problems.append(_no_instance(app, name, list(specs)))
                continue
            model = MODELS[specs[name].engine].grant
            try:
                grants[app][name] = model.model_validate(value)
            except ValidationError as error:
                trail = ("apps", app, name)
                found = error.errors(include_url=False)
                problems += [_problem(document, one, trail, model) for one in found]
        if app in keys:
            used = {name: specs[name] for name in rights if name in specs}
            problems += check_app_keys(app, keys[app], used, grants[app])
    problems += conflicts(parsed, specs, grants)
    if problems:
        raise spec_error(document, problems, files)
    stack = resolve(parsed, grants, keys, files)
    if problems := unkept(stack):
        raise spec_error(document, problems, files)
    return stack


def with_software(
    app: str, written: Mapping[str, Any], specs: Mapping[str, BaseInstance]
) -> tuple[dict[str, Any], list[Problem]]:
    """The rights of an app, with its own `for` at the instance that it is about; or what is wrong
    with that."""
    rights = dict(written)
    if "for" not in rights:
        return rights, []
    named, at = rights.pop("for"), ("apps", app, "for")
    if named is None:
        return rights, [(at, "'for' names nothing", "remove it, or name the software: for: celery")]
    kinds = {name: MODELS[specs[name].engine].grant for name in rights if name in specs}
    able = [name for name, kind in kinds.items() if "for_" in kind.model_fields]
    if len(able) != 1:
        text = f"{app} uses {' and '.join(able)}" if able else f"{app} uses no Redis"
        place = able[0] if able else "redis"
        hint = f"write it under the instance that it is about: {app}: {{{place}: {{for: …}}}}"
        if not able and named in DRIVERS:
            hint = f"drivers are named under 'env': {app}: {{env: {{for: {named}}}}}"
        return rights, [(at, text, hint)]
    value = rights[able[0]]
    value = dict(value) if isinstance(value, dict) else {"keys": value}
    if "for" in value:
        return rights, [(at, f"'for' is also written under {able[0]}", "keep one of them")]
    rights[able[0]] = value | {"for": named}
    return rights, []


def _literal_secrets(data: Any, trail: Trail) -> Iterator[Problem]:
    if isinstance(data, dict):
        for key, value in data.items():
            if trail[-1:] == ("settings",) and _SECRET_KEY.search(str(key)):
                text = f"a secret does not belong in the file (key {str(key)!r})"
                yield (*trail, key), text, _VAULT_HINT
            yield from _literal_secrets(value, (*trail, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _literal_secrets(value, (*trail, index))
    elif isinstance(data, str) and _PASSWORD.search(data):
        yield trail, "a password does not belong in the file", _VAULT_HINT


#: What stands beside the instances of an app.
_APP_KEYS = (*AppKeys.model_fields, "for")


def _no_instance(app: str, name: str, known: list[str]) -> Problem:
    trail = ("apps", app, name)
    if name in ENGINE_INFO:
        return (
            trail,
            f"the app {app} uses {name}, which is not in this file",
            (f"add '{name}: {{}}' to the file"),
        )
    head, colon, rest = name.partition(":")
    if colon and head in {*_APP_KEYS, *known, *ENGINE_INFO}:
        return trail, f"no space after ':' in {_shown(name)}", f"write {head}: {rest}"
    if name in presets():
        return trail, f"unknown instance {name!r}", f"several presets are a list: for: [{name}, …]"
    if close := did_you_mean(name, [*_APP_KEYS, *known, *ENGINE_INFO]):
        kind = "key" if any(f"'{one}'" in close for one in _APP_KEYS) else "instance"
        return trail, f"unknown {kind} {name!r}{close}", None
    return trail, f"unknown instance {name!r}{near(name, [*known, *ENGINE_INFO])}", None


#: Pydantic's words, in ours.
_WORDS = {
    "int_type": "has to be a whole number",
    "bool_type": "has to be true or false",
    "string_type": "has to be a string",
    "list_type": "has to be a list: [a, b]",
    "dict_type": "has to be a mapping of keys",
    "too_short": "needs at least one entry",
    "model_type": "has to be a mapping of keys",
    "model_attributes_type": "has to be a mapping of keys",
}
_MAPPING = frozenset({"model_type", "model_attributes_type"})
#: How many keys of a mapping are named where there is none.
_KEYS = 5


def _problem(
    document: Document, error: Any, prefix: Trail, model: type[BaseModel] = StackFile
) -> Problem:
    """A pydantic error as place, sentence and hint."""
    loc = (*prefix, *error["loc"], *error.get("ctx", {}).get("at", ()))
    trail = _in_data(document.data, loc, error["type"])
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        key = str(trail[-1])
        if _SECRET_KEY.search(key):
            return trail, f"a secret does not belong in the file (key {key!r})", _VAULT_HINT
        known = _known_keys(model, trail[len(prefix) : -1], document.data, prefix)
        trail = _below(document.data, trail)
        # a key that stands beside it is rather not meant once more, but in another file it may be
        others = [one for one in known if one not in _at(document.data, trail[:-1])]
        text = f"unknown key {_shown(key)}{did_you_mean(key, others) or near(key, known)}"
        hint = None
        if key == "for" and prefix[:1] == ("apps",):
            hint = "'for' names what uses Redis; drivers are named under 'env': env: {for: …}"
        parts = key.split(".")
        if len(trail) == 1 and len(parts) > 1 and parts[0] in known:
            text = f"unknown key {_shown(key)}"
            hint = f"write it nested: {': {'.join(parts)}: …{'}' * (len(parts) - 1)}"
        return trail, text, hint
    if kind == "missing":
        return trail, f"the key {str(error['loc'][-1])!r} is missing", None
    if kind == "engine" and isinstance(value, dict):
        if "engine" in value:
            return (*trail, "engine"), _no_engine(value["engine"]), None
        close = difflib.get_close_matches("engine", [str(key) for key in value], n=1, cutoff=0.6)
        if close:
            text = f"unknown key {close[0]!r} (did you mean 'engine'?)"
            return (*trail, close[0]), text, None
    message = _WORDS.get(kind, str(error["msg"])).removeprefix("Value error, ")
    message = re.sub("^(Input|String|List|Dictionary) should ", "has to ", message)
    if kind in _MAPPING:
        keys = _known_keys(model, trail[len(prefix) :], document.data, prefix)
        message += (
            f" ({', '.join(keys[:_KEYS])}{', …' if len(keys) > _KEYS else ''})" if keys else ""
        )
    if message.startswith("has to ") and isinstance(value, str | int | float | bool | None):
        message += f", not {_shown(value)}"
        if kind == "string_type" and isinstance(value, int | float):
            message += f"; write it in quotes: '{_shown(value)}'"
        wanted = {"int": "number", "bool": "true or false"}
        if isinstance(value, str) and wanted.get(type_of(value), " \0") in message:
            message += "; write it without quotes"
    return trail, message, None


def _no_engine(value: object) -> str:
    if isinstance(value, str):
        return f"unknown engine {_shown(value)}{near(value, list(ENGINE_INFO))}"
    return f"name its engine: {', '.join(ENGINE_INFO)}"


def _shown(value: object) -> str:
    text = "empty" if value is None else repr(value)
    if isinstance(value, bool):
        text = text.lower()
    return text if len(text) <= 60 else text[:57] + "..."


def _in_data(data: Any, loc: Trail, kind: str) -> Trail:
    """The part of a pydantic location that stands in the file (it also names union members)."""
    trail: Trail = ()
    for index, part in enumerate(loc):
        if (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        ):
            data = data[part]  # type: ignore[index]
        elif index == len(loc) - 1 and (kind == "extra_forbidden" or part == KEY):
            pass
        else:
            continue
        trail = (*trail, part)
    return trail


def _at(data: Any, trail: Trail) -> Any:
    for part in trail:
        data = data[part]
    return data


def _below(data: Any, trail: Trail) -> Trail:
    """Where an unknown key stands when a short form holds it one level deeper."""
    data = _at(data, trail[:-1])
    if isinstance(data, dict) and trail[-1] not in data:
        for key, value in data.items():
            if isinstance(value, dict) and trail[-1] in value:
                return (*trail[:-1], key, trail[-1])
    return trail


def _known_keys(model: type[BaseModel], trail: Trail, data: Any, prefix: Trail) -> list[str]:
    """The keys that the model at `trail` takes, found by walking the models' types."""
    current: list[Any] = [model]
    for part in prefix:
        data = data.get(part) if isinstance(data, dict) else None
    for part in trail:
        data = data.get(part) if isinstance(data, dict) else None
        engine = data.get("engine") if isinstance(data, dict) else None
        below = [child for one in current for child in _child(one, str(part))]
        current = [one for one in below if engine is None or _is_engine(one, engine)]
    return [
        info.alias or key
        for one in current
        for key, info in getattr(one, "model_fields", {}).items()
    ]


def _child(kind: Any, part: str) -> list[Any]:
    """The types that may stand under `part` of a model, a mapping or a list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(part) or kind.model_fields.get(f"{part}_")
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
