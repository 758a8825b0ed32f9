"""Atlas' own specification: where it is, and what of it is written into contract.json.

Which operations of Atlas' API the tests' Atlas has, and for each schema that they use the names,
types and values of its fields, in our own words. Of a schema with a variant for each cloud, AWS' is
taken. Of alert configurations and notifications, those that mngdb may send or meet.

    .venv/bin/python -m tests.atlas.specification [OPENAPI.json]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WRITTEN = Path(__file__).with_name("contract.json")
#: Where the specification may be: in a folder beside the worktrees.
_PLACES = tuple(parent / "shared/atlas/openapi.json" for parent in WRITTEN.parents)
#: Where the specification contradicts what Atlas does: schema, field, and what does not hold.
_RELAXED = (
    ("DatabaseUserRole", "roleName", "enum"),  # custom roles have names of their own
    ("AwsNetworkPeeringConnectionSettings", "routeTableCidrBlock", "pattern"),  # allows no mask
    ("ApiError", "parameters", "items"),  # Atlas sends strings, not objects
    ("HostMatcher", "value", "$ref"),  # a host's name is as good as a host's type
    # Atlas' own examples say RAW and GREATER_THAN, as the variants of these do
    ("HostMetricThreshold", "units", "enum"),
    ("AlertsThresholdInteger", "units", "enum"),
    ("AlertsThresholdInteger", "operator", "$ref"),
)
#: What the tests' Atlas has. Left out: exports to buckets, sharded clusters, X.509 certificates.
_LEFT_OUT = ("backup/exports", "shardedCluster", "/certs", "restartPrimaries", "/databases")
_ALERTS = (
    "Default",
    "Host",
    "HostMetric",
    "ReplicaSet",
    "ReplicaSetThreshold",
    "CpsBackupThreshold",
)
#: Which variants of a schema; all where it is not named.
_VARIANTS = {
    "CloudRegionConfig20240805": ["AWSRegionConfig20240805"],
    "HardwareSpec20240805": ["AWSHardwareSpec20240805"],
    "DedicatedHardwareSpec20240805": ["AWSHardwareSpec20240805"],
    "CloudProviderContainer": ["AWSCloudProviderContainer"],
    "BaseNetworkPeeringConnectionSettings": ["AwsNetworkPeeringConnectionSettings"],
    "CreateEndpointRequest": ["CreateAWSEndpointRequest"],
    "EndpointService": ["AWSPrivateLinkConnection"],
    "PrivateLinkEndpoint": ["AWSInterfaceEndpoint"],
    "DiskBackupSnapshot": ["DiskBackupReplicaSet"],
    "GroupAlertsConfig": [f"{kind}AlertConfigViewForNdsGroup" for kind in _ALERTS],
    "AlertViewForNdsGroup": ["HostMetricAlert", "DefaultAlertViewForNdsGroup"],
    "AlertsNotificationRootForGroup": [
        f"{kind}Notification" for kind in ("Email", "Group", "Org", "PagerDuty", "Slack", "Webhook")
    ],
}
_KEPT = ("type", "enum", "nullable", "readOnly", "writeOnly", "minimum", "maximum", "minItems")


class Reduced:
    """The schemas that were asked for, and those that they name."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given: dict[str, Any] = given["components"]["schemas"]
        self.schemas: dict[str, Any] = {}

    def of(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The reduced form of a schema."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name not in self.schemas:
                self.schemas[name] = {}  # one that names itself
                self.schemas[name] = self._body(self._given[name], name)
            return {"$ref": f"#/components/schemas/{name}"}
        return self._body(schema, "")

    def _body(self, schema: dict[str, Any], name: str) -> dict[str, Any]:
        flat = self._flat(schema, name)
        kept = {key: flat[key] for key in _KEPT if key in flat}
        if "items" in flat:
            kept["items"] = self.of(flat["items"])
        if isinstance(flat.get("additionalProperties"), dict):
            kept["additionalProperties"] = self.of(flat["additionalProperties"])
        elif "properties" in flat:
            kept["properties"] = {k: self.of(v) for k, v in sorted(flat["properties"].items())}
            kept["required"] = sorted(flat.get("required", ()))
        return kept

    def _flat(self, schema: dict[str, Any], name: str) -> dict[str, Any]:
        """One schema without variants: what each of them has, what all of them require."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self._flat(self._given[name], name)
        flat = {
            key: value for key, value in schema.items() if key not in ("allOf", "anyOf", "oneOf")
        }
        for part in schema.get("allOf", ()):
            flat = _both(flat, self._flat(part, ""), set.union)
        chosen = _VARIANTS.get(name)
        if chosen is None:
            variants = [self._flat(part, "") for part in schema.get("anyOf", ())]
        else:
            variants = [self._flat(self._given[one], one) for one in chosen]
        if variants:
            every = variants[0]
            for other in variants[1:]:
                every = _both(every, other, set.intersection)
            flat = _both(flat, every, set.union)
        return flat


def _both(one: dict[str, Any], other: dict[str, Any], required: Any) -> dict[str, Any]:
    """Two schemas' fields together. Of what all require: the union where both apply, the
    intersection where one of them does."""
    found = {**other, **one}
    if required is set.intersection and ("enum" in one) != ("enum" in other):
        del found["enum"]
    if "enum" in one and "enum" in other:
        found["enum"] = one["enum"] + [value for value in other["enum"] if value not in one["enum"]]
    if "properties" in one or "properties" in other:
        mine, others = one.get("properties", {}), other.get("properties", {})
        found["properties"] = {**others, **mine}
        for name in mine.keys() & others.keys():
            if "enum" in mine[name] and "enum" in others[name]:
                found["properties"][name] = _both(mine[name], others[name], required)
            elif "$ref" in mine[name] or "$ref" in others[name]:
                found["properties"][name] = {"anyOf": [mine[name], others[name]]}
        found["required"] = required(set(one.get("required", ())), set(other.get("required", ())))
    return found


def _operations(given: dict[str, Any], reduced: Reduced) -> dict[str, Any]:
    found = {}
    for path, verbs in sorted(given["paths"].items()):
        if any(part in path for part in _LEFT_OUT):
            continue
        for verb, operation in sorted(verbs.items()):
            if "operationId" not in operation:
                continue
            query = {}
            for parameter in operation.get("parameters", ()):
                if "$ref" in parameter:
                    name = parameter["$ref"].rpartition("/")[2]
                    parameter = given["components"]["parameters"][name]
                if parameter["in"] == "query":
                    query[parameter["name"]] = reduced.of(parameter["schema"])
            answers = operation["responses"].items()
            found[operation["operationId"]] = {
                "method": verb.upper(),
                "path": path,
                "query": query,
                "request": _schema(operation.get("requestBody", {}), reduced),
                "refusals": sorted(status for status, _ in answers if status >= "4"),
                "answers": {
                    status: _schema(answer, reduced)
                    for status, answer in answers
                    if status.startswith("2")
                },
            }
    return found


def _schema(body: dict[str, Any], reduced: Reduced) -> dict[str, Any] | None:
    """Of a request or an answer; None: it has no body."""
    kinds = body.get("content", {}).values()
    return next((reduced.of(one["schema"]) for one in kinds if "schema" in one), None)


def contract(given: dict[str, Any]) -> dict[str, Any]:
    """What is written."""
    reduced = Reduced(given)
    schemas = given["components"]["schemas"]
    metrics = schemas["HostMetricAlert"]["discriminator"]["mapping"]
    schemas["HostMetricThreshold"]["properties"]["metricName"]["enum"] = sorted(metrics)
    operations = _operations(given, reduced)
    reduced.of({"$ref": "#/components/schemas/ApiError"})
    return {"operations": operations, "schemas": dict(sorted(reduced.schemas.items()))}


def text(found: dict[str, Any]) -> str:
    """A line for each operation and each schema."""
    parts = []
    for name, entries in found.items():
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items()]
        parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def given(path: Path | None = None) -> dict[str, Any] | None:
    """The specification without what does not hold; None: it is not at hand."""
    path = path or next((place for place in _PLACES if place.exists()), None)
    if path is None:
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    for schema, name, what in _RELAXED:
        found["components"]["schemas"][schema]["properties"][name].pop(what)
    # who may do what is tried by the tests' Atlas itself
    found.pop("security", None)
    for verbs in found["paths"].values():
        for operation in verbs.values():
            if isinstance(operation, dict):
                operation.pop("security", None)
    return found


if __name__ == "__main__":
    source = given(Path(sys.argv[1]) if sys.argv[1:] else None)
    assert source is not None, "the specification is not at hand: name its file"
    WRITTEN.write_text(text(contract(source)))
