"""What the runbooks say of alerts and checks in Korean: alerts.ko.yaml and checks.ko.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml
from msgspec.structs import replace

from mngdb.alerts.rules import Rule
from mngdb.findings import Check

#: A name, to its texts in Korean and the English that they were made from.
Texts = Mapping[str, Mapping[str, str]]


@cache
def texts(of: str) -> Texts:
    """The Korean of `alerts` or `checks`, by name."""
    file = resources.files(__package__) / f"{of}.ko.yaml"
    found: Texts = yaml.safe_load(file.read_text("utf-8"))
    return found


def rule(one: Rule) -> Rule:
    """An alert's rule with Korean texts; a new one that has none yet keeps its English."""
    found = texts("alerts").get(one.name)
    if found is None:
        return one
    return replace(one, summary=found["summary"], description=found["description"])


def titles() -> Mapping[str, str]:
    """The titles of checks in Korean, by their IDs; not all have one."""
    return {name: found["title"] for name, found in texts("checks").items()}


def title(one: Check[Any]) -> str:
    """A check's title in Korean; a new one that has none yet keeps its English."""
    found = texts("checks").get(one.id)
    return one.title if found is None else found["title"]
