"""The JSON Schema of the file, with the keys' descriptions.

Descriptions are the texts that stand under the keys in the models' source, so the schema, the
reference and the code cannot differ.
"""

from __future__ import annotations

import ast
import inspect
import itertools
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mngdb.spec.alerts import KINDS, rule_names
from mngdb.spec.app import VARIABLE, AppKeys
from mngdb.spec.engine_models import MODELS
from mngdb.spec.file import EngineKeys, StackFile
from mngdb.spec.presets import presets
from mngdb.spec.several import DatabasesGrant
from mngdb.spec.target import SHORT, TargetKeys

#: What JSON Schema says of a list.
_LIST = ("type", "items", "minItems")
#: Of a right in its long form: it says what it is for.
_SAID = {
    "if": {"type": "object"},
    "then": {"anyOf": [{"required": [k]} for k in ("keys", "for", "database", "databases")]},
}
_SAID_KEYS = {"if": {"type": "object"}, "then": {"required": ["keys"]}}


def schema() -> dict[str, Any]:
    """A JSON Schema (2020-12) that also takes the short forms."""
    models: list[type[BaseModel]] = [StackFile, AppKeys, *(one.grant for one in MODELS.values())]
    _, document = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/$defs/{model}"
    )
    definitions = document["$defs"]
    for found in _all_models(StackFile, *models[1:]):
        described = descriptions(found)
        for name, key in definitions.get(found.__name__, {}).get("properties", {}).items():
            if name in described:
                key["description"] = described[name]
        _with_defaults(found, definitions.get(found.__name__, {}).get("properties", {}))
    for engine, (instance, grant) in MODELS.items():
        _nullable(definitions["StackFile"]["properties"], engine)
        short: list[dict[str, Any]] = [{"type": "string"}]
        if engine == "redis":
            short.append({"type": "array", "items": {"type": "string"}})
            keys = definitions[grant.__name__]["properties"]["keys"]
            listed = {k: keys.pop(k) for k in _LIST if k in keys} | {"minItems": 1}
            keys["anyOf"] = [{"type": "string"}, listed]
            software = {"enum": list(presets())}
            definitions["Software"] = {
                "description": "What uses Redis, one name or a list (docs/presets.md).",
                "anyOf": [software, {"type": "array", "items": software, "minItems": 1}],
            }
            described = definitions[grant.__name__]["properties"]["for"]["description"]
            definitions[grant.__name__]["properties"]["for"] = {
                "$ref": "#/$defs/Software",
                "description": described,
            }
            definitions[grant.__name__] |= _if_prefixed({"required": ["keys"]})
        if issubclass(grant, DatabasesGrant):
            definitions[grant.__name__].pop("required")
            either = [{"required": [key]} for key in ("database", "databases")]
            definitions[grant.__name__]["anyOf"] = either
        definitions[grant.__name__] = {"anyOf": [*short, definitions[grant.__name__]]}
        definitions[instance.__name__]["properties"]["engine"]["default"] = engine
    _nullable(definitions["StackFile"]["properties"], "apps")
    definitions["Channel"] |= {
        "if": {"properties": {"kind": {"const": "email"}}},
        "then": {"required": ["host", "from", "to"]},
    }
    forms: dict[str, dict[str, Any]] = {
        "AlertRule": {"type": "boolean"},
        "Channel": {"enum": KINDS},
        "AgentPorts": {"enum": ["auto"]},
    }
    for name, form in forms.items():
        definitions[name] = {"anyOf": [form, definitions[name]]}
    definitions["Target"] |= {"minProperties": 1, "maxProperties": 1}
    definitions["Target"] = {"anyOf": [{"enum": SHORT}, definitions["Target"]]}
    # the file's reader says why it is needed; an editor needs to know only that it is
    definitions["RedisInsight"]["required"].append("accept_terms")
    definitions["BackupStore"] = {"anyOf": [{"type": "string"}, definitions["BackupStore"]]}
    path = {"type": "object", "properties": {"path": {"type": ["string", "null"]}}}
    files = {"anyOf": [{"type": "null"}, path | {"additionalProperties": False}]}
    definitions["Vault"] = {
        "anyOf": [
            {"enum": ["files", "environ", "aws"]},
            {
                "type": "object",
                "properties": {"files": files},
                "required": ["files"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {"aws": definitions["Vault"]["properties"]["aws"]},
                "required": ["aws"],
                "additionalProperties": False,
            },
            definitions["Vault"],
        ]
    }
    instances = definitions["StackFile"]["properties"]["instances"]
    ((pattern, of_any),) = instances.pop("patternProperties").items()
    instances["additionalProperties"] = of_any | {"required": ["engine"]}
    instances["propertyNames"] = {"pattern": pattern}
    channels = definitions["Alerts"]["properties"]["channels"]
    ((pattern, channel),) = channels.pop("patternProperties").items()
    channels |= {"additionalProperties": channel, "propertyNames": {"pattern": pattern}}
    definitions["Alerts"]["properties"]["rules"]["propertyNames"] = {"enum": rule_names()}
    rights = [{"$ref": f"#/$defs/{grant.__name__}"} for _, grant in MODELS.values()]
    definitions["StackFile"]["properties"]["apps"]["additionalProperties"] = {
        "type": ["object", "null"],
        "additionalProperties": {"anyOf": rights},
        "properties": {e: {"$ref": f"#/$defs/{g.__name__}"} for e, (_, g) in MODELS.items()}
        | definitions.pop("AppKeys")["properties"]
        | {"for": {"$ref": "#/$defs/Software"}},
        # `for` of the app counts in each of its rights
        "anyOf": [
            {"required": ["for"]},
            {"properties": {"env": {}}, "additionalProperties": _SAID},
        ],
        **_if_prefixed({"properties": {"redis": _SAID_KEYS}}),
    }
    definitions["AppEnv"]["patternProperties"] = {f"^{VARIABLE}$": {"type": "string"}}
    drivers = definitions["AppEnv"]["properties"]["for"]
    drivers["anyOf"] = [drivers["items"], {k: drivers.pop(k) for k in _LIST if k in drivers}]
    for definition in definitions.values():
        _with_variables(definition)
    definitions["Variable"] = {
        "description": "Filled in from the environment when the file is read.",
        "type": "string",
        "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
    }
    top = definitions.pop("StackFile")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": definitions}


def _if_prefixed(then: dict[str, Any]) -> dict[str, Any]:
    """What holds where `for` names software that has no keys without a prefix."""
    names = {"enum": [name for name, one in presets().items() if one.default is None]}
    named = {"anyOf": [names, {"type": "array", "contains": names}]}
    return {"if": {"properties": {"for": named}, "required": ["for"]}, "then": then}


def _with_defaults(model: type[BaseModel], properties: dict[str, Any]) -> None:
    """Defaults as they are written in the file: 5m, 64mb."""
    written = model.model_construct().model_dump(mode="json", by_alias=True, warnings=False)
    for name, key in properties.items():
        if "default" in key and name in written:
            key["default"] = written[name]


def _with_variables(part: Any) -> None:
    """Wherever a number, a word of a list or a patterned text stands, ${VAR} may stand too."""
    if isinstance(part, list):
        for one in part:
            _with_variables(one)
    if not isinstance(part, dict):
        return
    for key in ("anyOf", "oneOf", "items", "additionalProperties"):
        _with_variables(part.get(key))
    for one in part.get("properties", {}).values():
        _with_variables(one)
    if part.get("type") in ("integer", "boolean") or "enum" in part or "pattern" in part:
        kept = {k: part.pop(k) for k in ("title", "description", "default") if k in part}
        inner = dict(part)
        part.clear()
        part |= {"anyOf": [inner, {"$ref": "#/$defs/Variable"}], **kept}


def _nullable(properties: dict[str, Any], name: str) -> None:
    """`redis:` with nothing after it is the default instance, `apps:` are none."""
    key = properties[name]
    if "type" in key:
        key["type"] = [key["type"], "null"]
        return
    kinds = key["anyOf"]
    if {"type": "null"} not in kinds:
        kinds.append({"type": "null"})


@cache
def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Key to the text under it in the source, or that it was made with; parents' keys included."""
    keys = model.model_fields.items()
    found = {info.alias or key: info.description for key, info in keys if info.description}
    for one in reversed(model.__mro__):
        if not issubclass(one, BaseModel) or one in {BaseModel, EngineKeys, TargetKeys}:
            continue
        tree = ast.parse(inspect.getsource(one))
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for statement, following in itertools.pairwise(body):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                info = one.model_fields[statement.target.id]
                found[info.alias or statement.target.id] = " ".join(
                    str(following.value.value).split()
                )
    return found


def _all_models(*models: type[BaseModel]) -> list[type[BaseModel]]:
    from mngdb.spec.load import members

    found: list[type[BaseModel]] = []
    waiting = list(models)
    while waiting:
        model = waiting.pop()
        if model in found:
            continue
        found.append(model)
        for info in model.model_fields.values():
            waiting += members(info.annotation)
    return found
