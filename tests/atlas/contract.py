"""Whether requests and answers are what Atlas' specification says.

`contract.json` has our own description of it (specification.py writes that), `additions.json`
of what it lacks, after Atlas' documentation. A field that they do not name is a violation. Where
the specification itself is at hand, everything is held against it too.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema.exceptions import best_match
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tests.atlas import specification
from tests.atlas.errors import MEDIA_TYPE

HERE = Path(__file__).parent
_HOST = "https://cloud.mongodb.com"


@dataclass(frozen=True)
class Operation:
    """One operation, found by its method and path."""

    name: str
    query: frozenset[str]
    given: bool  # whether the specification has it


@dataclass
class Sent:
    """A request, as openapi-core wants it."""

    method: str
    path: str
    body: bytes | None
    content_type: str
    parameters: RequestParameters
    host_url: str = _HOST


@dataclass
class Answer:
    """An answer, likewise."""

    status_code: int
    content_type: str
    data: bytes
    headers: Mapping[str, Any] = field(default_factory=dict)


class Contract:
    """Both descriptions."""

    def __init__(self) -> None:
        parts = [
            json.loads((HERE / f"{name}.json").read_text()) for name in ("contract", "additions")
        ]
        self.operations: dict[str, Any] = {**parts[0]["operations"], **parts[1]["operations"]}
        self._given = frozenset(parts[0]["operations"])
        self._routes = [
            (one["method"], re.compile(re.sub(r"\{\w+\}", "[^/]+", one["path"])), name)
            for name, one in self.operations.items()
        ]
        schemas = {**parts[0]["schemas"], **parts[1]["schemas"]}
        self._own = _open(_document(self.operations, schemas))
        theirs = specification.given()
        self._theirs = _open(theirs) if theirs else None
        # the same is asked and answered many times
        self._problems = lru_cache(maxsize=4096)(self._find_problems)

    def operation(self, method: str, path: str) -> Operation | None:
        """What a request asks for. A path that is spelt out goes before one with a name in it."""
        found = [
            name for verb, route, name in self._routes if verb == method and route.fullmatch(path)
        ]
        if not found:
            return None
        name = min(found, key=lambda one: self.operations[one]["path"].count("{"))
        return Operation(name, frozenset(self.operations[name]["query"]), name in self._given)

    def request(
        self, operation: Operation, method: str, path: str, query: str, body: bytes, kind: str
    ) -> str:
        """What is wrong with a request; empty: nothing."""
        return self._problems(operation, method, path, query, body, kind, 0)

    def answer(
        self, operation: Operation, method: str, path: str, status: int, body: bytes, kind: str
    ) -> str:
        """What is wrong with an answer; empty: nothing."""
        return self._problems(operation, method, path, "", body, kind.partition(";")[0], status)

    def _find_problems(
        self,
        operation: Operation,
        method: str,
        path: str,
        query: str,
        body: bytes,
        kind: str,
        status: int,
    ) -> str:
        asked = ImmutableMultiDict(part.partition("=")[::2] for part in query.split("&") if part)
        if unknown := set(asked) - operation.query:
            return f"{operation.name} has no query parameters {sorted(unknown)}"
        answers = self.operations[operation.name]["answers"]
        if status and not body and answers.get(str(status), "") is None:
            return ""  # the specification names a kind of content also where there is none
        given = RequestParameters(query=asked, header=Headers({"Accept": MEDIA_TYPE}))
        sent = Sent(method.lower(), path, body or None, kind, given)
        for spec in (self._own, *([self._theirs] if self._theirs and operation.given else [])):
            try:
                if status:
                    sent.body = None
                    spec.validate_response(sent, Answer(status, kind, body))
                else:
                    spec.validate_request(sent)
            except OpenAPIError as error:
                return f"{operation.name}: {'; '.join(_reasons(error))}"
        return ""


def _reasons(error: BaseException) -> Iterator[str]:
    """Why openapi-core refuses: where in the document, and what."""
    cause = error.__cause__
    for error_of in getattr(cause, "schema_errors", ()):
        one = best_match([error_of])  # the variant that is nearest
        yield f"{'/'.join(map(str, one.absolute_path))}: {one.message}"
    if not getattr(cause, "schema_errors", ()):
        yield f"{type(error).__name__}: {error}"


def _open(document: dict[str, Any]) -> OpenAPI:
    kinds: dict[str, Callable[[bytes], Any]] = {MEDIA_TYPE: json.loads}
    config = Config(spec_validator_cls=None, extra_media_type_deserializers=kinds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return OpenAPI.from_dict(document, config=config)


def _document(operations: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document of our own description."""
    paths: dict[str, Any] = {}
    for name, one in operations.items():
        answers = {
            status: {
                "description": "",
                **({"content": {_kind(one): {"schema": schema}}} if schema else {}),
            }
            for status, schema in one["answers"].items()
        }
        refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/ApiError"}}}
        for status in one.get("refusals", ["default"]):
            answers[status] = {"description": "", "content": refusal}
        query = [{"in": "query", "name": key, "schema": kind} for key, kind in one["query"].items()]
        steps = re.findall(r"\{(\w+)\}", one["path"])
        inside = [
            {"in": "path", "name": step, "required": True, "schema": {"type": "string"}}
            for step in steps
        ]
        operation: dict[str, Any] = {
            "operationId": name,
            "parameters": query + inside,
            "responses": answers,
        }
        if one["request"]:
            content = {_kind(one): {"schema": one["request"]}}
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(one["path"], {})[one["method"].lower()] = operation
    return {
        "openapi": "3.0.1",
        "info": {"title": "Atlas", "version": "2.0"},
        "servers": [{"url": _HOST}],
        "paths": paths,
        "components": {"schemas": _closed(schemas)},
    }


def _kind(operation: dict[str, Any]) -> str:
    return str(operation.get("kind", MEDIA_TYPE))


def _closed(node: Any) -> Any:
    """A schema in which no field may stand that it does not name."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: _closed(value) for key, value in node.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found
