"""SARIF 2.1.0 (OASIS), as code scanning on GitHub and GitLab takes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mngdb.findings import CONTROLS, Finding

_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
_KINDS = {"pass": "pass", "fail": "fail", "unknown": "review", "not_applicable": "notApplicable"}
#: security-severity, by which GitHub sorts (a CVSS score).
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}


def render(findings: Sequence[Finding], stack: str, version: str, file: str) -> str:
    """The document. `file` is the stack's file, where the remedies are to be written."""
    rules = {one.id: _rule(one) for one in findings}
    order = list(rules)
    run = {
        "tool": {"driver": {"name": "mngdb", "version": version, "rules": list(rules.values())}},
        "automationDetails": {"id": f"mngdb/{stack}"},
        "results": [_result(one, order.index(one.id), file) for one in findings],
    }
    return json.dumps({"version": "2.1.0", "$schema": _SCHEMA, "runs": [run]}, indent=2) + "\n"


_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def _rule(one: Finding) -> dict[str, Any]:
    return {
        "id": one.id,
        "shortDescription": {"text": one.title},
        "fullDescription": {"text": f"Expected: {one.expected}"},
        "help": {"text": f"{one.remedy}\nSources: {'; '.join(one.sources)} ({CONTROLS})"},
        "defaultConfiguration": {"level": _LEVELS[one.severity]},
        "properties": {
            "tags": ["security", one.engine],
            "security-severity": _SCORES[one.severity],
        },
    }


def _result(one: Finding, index: int, file: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": one.id,
        "ruleIndex": index,
        "kind": _KINDS[one.verdict],
        # the standard wants "none" for whatever is not a failure
        "level": _LEVELS[one.severity] if one.verdict == "fail" else "none",
        "message": {"text": f"{one.where}: {one.title}; found: {one.evidence}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": file}},
                "logicalLocations": [{"name": one.where, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"check/v1": f"{one.id}/{one.instance}"},
    }
    if one.accepted:
        result["suppressions"] = [{"kind": "external", "justification": one.accepted}]
    return result
