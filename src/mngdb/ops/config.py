"""The file with every default filled in."""

from __future__ import annotations

from typing import Any

import yaml

from mngdb.ops.context import Context
from mngdb.spec.file import ENGINES


def as_json(context: Context) -> dict[str, Any]:
    """The whole file, and the servers' own settings that follow from it, by instance."""
    return {
        "stack": context.stack.name,
        "file": _file(context),
        "server_settings": _settings(context),
    }


def as_yaml(context: Context) -> str:
    """A file that means the same, then the servers' settings as comments."""
    text = yaml.safe_dump(_file(context), sort_keys=False, allow_unicode=True, width=100)
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
        place[name] |= {
            "memory": str(instance.memory),
            "tls": instance.tls,
            "target": instance.target.model_dump(mode="json", exclude_none=True),
        }
        if name in ENGINES:
            place[name].pop("engine")
        if instance.target.external:
            place[name].pop("port")
    return found


def _settings(context: Context) -> dict[str, dict[str, str]]:
    found = {}
    for name, instance in context.stack.instances.items():
        asked = context.asked(instance, invent=True)
        found[name] = dict(context.engine(instance).settings(asked))
    return found
