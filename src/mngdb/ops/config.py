"""The file with every default filled in."""

from __future__ import annotations

from typing import Any

from mngdb.ops.context import Context
from mngdb.spec.file import ENGINES
from mngdb.spec.yaml12 import dump


def as_json(context: Context) -> dict[str, Any]:
    """The whole file, and the servers' own settings that follow from it, by instance."""
    return {
        "stack": context.stack.name,
        "file": _file(context),
        "server_settings": _settings(context),
    }


def as_yaml(context: Context) -> str:
    """A file that means the same, then the servers' settings as comments."""
    text = dump(_file(context))
    lines = ["", "# what the servers are given:"]
    for name, settings in _settings(context).items():
        lines.append(f"# {name}:")
        lines += [f"#   {key}: {value}" for key, value in settings.items()]
    return text + "\n".join(lines)


def _file(context: Context) -> dict[str, Any]:
    stack = context.stack
    # by alias of nothing: keys stand as in the file; unset instances do not stand at all
    found: dict[str, Any] = stack.source.model_dump(mode="json", exclude_none=True)
    found["apps"] = {
        app: {
            name: right.model_dump(mode="json", exclude_none=True) for name, right in rights.items()
        }
        for app, rights in stack.apps.items()
    }
    for name, instance in stack.instances.items():
        place = found if name in ENGINES else found["instances"]
        external = instance.target.external
        keys = place[name] | {
            # where local servers keep their data is said once, at the top
            "target": {"external": {"url": external.url}} if external else "local",
            "memory": str(instance.memory),
            "tls": instance.tls,
        }
        order = ["engine", *type(instance.spec).model_fields]
        left_out = {"engine"} if name in ENGINES else set()
        left_out |= {"port"} if external else set()
        place[name] = {k: keys[k] for k in dict.fromkeys(order) if k in keys and k not in left_out}
    return found


def _settings(context: Context) -> dict[str, dict[str, str]]:
    found = {}
    for name, instance in context.stack.instances.items():
        asked = context.asked(instance, invent=True)
        found[name] = dict(context.engine(instance).settings(asked))
    return found
