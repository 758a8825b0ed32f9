"""The file with every default filled in."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from mngdb.errors import MngdbError
from mngdb.ops.context import Context
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance
from mngdb.spec.yaml12 import dump


def as_json(context: Context) -> dict[str, Any]:
    """The whole file, the servers' own settings and the logins' rights that follow from it, by
    instance."""
    given = {name: _given(context, instance) for name, instance in context.stack.instances.items()}
    return {
        "stack": context.stack.name,
        "file": _file(context),
        "server_settings": {name: found.settings for name, found in given.items()},
        "rights": {name: found.rights for name, found in given.items()},
        "unknown": {name: found.unknown for name, found in given.items() if found.unknown},
    }


def as_yaml(context: Context) -> str:
    """A file that means the same, then what the servers are given as comments."""
    lines = ["", "# settings passed to the servers:"]
    for name, instance in context.stack.instances.items():
        found = _given(context, instance)
        lines.append(f"# {name}:")
        lines += [f"#   {key}: {value}" for key, value in found.settings.items()]
        lines += [f"#   {right}" for right in found.rights]
        lines += [f"#   unknown: {found.unknown}"] if found.unknown else []
    return dump(_file(context)) + "\n".join(lines)


class _Given(Struct, frozen=True):
    settings: dict[str, str]
    rights: list[str]
    unknown: str | None = None
    """Why it cannot be told: the server's program is missing, …"""


def _given(context: Context, instance: Instance) -> _Given:
    try:
        asked = context.asked(instance, invent=True)
    except MngdbError as error:
        return _Given({}, [], error.message)
    engine = context.engine(instance)
    return _Given(dict(engine.settings(asked)), engine.rights(asked))


def _file(context: Context) -> dict[str, Any]:
    stack = context.stack
    # by alias of nothing: keys stand as in the file; unset instances do not stand at all
    found: dict[str, Any] = stack.source.model_dump(mode="json", exclude_none=True, by_alias=True)
    found["apps"] = {
        app: {
            name: right.model_dump(mode="json", exclude_none=True, by_alias=True)
            for name, right in rights.items()
        }
        | stack.keys[app].model_dump(mode="json", exclude_defaults=True, by_alias=True)
        for app, rights in stack.apps.items()
    }
    for name, instance in stack.instances.items():
        place = found if name in ENGINE_INFO else found["instances"]
        keys = instance.spec.model_dump(mode="json", exclude_none=True, by_alias=True) | {
            # where local servers keep their data is said once, at the top
            "target": instance.target.short,
            "memory": str(instance.memory),
            "tls": instance.tls,
        }
        order = ["engine", *type(instance.spec).model_fields]
        left_out = {"engine"} if name in ENGINE_INFO else set()
        left_out |= set() if instance.managed else {"port", *instance.spec.unapplied()}
        left_out |= {"bind", "tls", "memory", "settings"} if instance.hosted else set()
        place[name] = {k: keys[k] for k in dict.fromkeys(order) if k in keys and k not in left_out}
    return found
