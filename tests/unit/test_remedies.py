"""What `check` tells people to do: a line of the file is one that it takes, and on a server of
others it is what helps there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from mngdb.checks import registry
from mngdb.checks.remedies import elsewhere
from mngdb.findings import Finding, Judgement
from tests.unit.spec import stack


def lines() -> Iterator[Any]:
    """The keys of the file that remedies begin with."""
    for check in registry.every():
        found = re.match(r"(postgres|redis|mongodb): ", check.remedy)
        if found and "…" not in check.remedy:
            text, depth = check.remedy, 0
            for end, sign in enumerate(text):
                depth += {"{": 1, "}": -1}.get(sign, 0)
                if sign == "}" and not depth:
                    yield pytest.param(text[: end + 1], id=check.id)
                    break


@pytest.mark.parametrize("line", [*lines()])
def test_the_file_takes_every_line_that_mends_a_check(line: str) -> None:
    assert stack(yaml.safe_dump({"name": "mine", **yaml.safe_load(line)})).instances


def finding(remedy: str, instance: str = "redis") -> Finding:
    (one,) = (one for one in registry.of("redis") if one.id == "redis.timeout")
    return one.given(Judgement("fail", "", remedy=remedy), instance)


@pytest.mark.parametrize(
    ("remedy", "external", "adopted"),
    [
        ("'mngdb up' sets it; elsewhere CONFIG SET timeout", "CONFIG SET timeout", ""),
        ("'mngdb up'; elsewhere: redis.conf", "redis.conf", ""),
        ("redis: {timeout: 5m}, then 'mngdb up'", "redis: {timeout: 5m}, then 'mngdb up'", ""),
        (
            "'mngdb up' revokes the rest",
            "'mngdb up' revokes the rest",
            "'mngdb up --allow NAME', as 'mngdb plan' names it, revokes the rest",
        ),
        (
            "'mngdb up' restores the app's login; elsewhere ACL",
            "'mngdb up' restores the app's login; elsewhere ACL",
            "'mngdb up --allow NAME', as 'mngdb plan' names it, restores the app's login; "
            "elsewhere ACL",
        ),
        (
            "apps: {APP: …}, then 'mngdb up'; elsewhere ALTER",
            "apps: {APP: …}, then 'mngdb up'; elsewhere ALTER",
            "apps: {APP: …}, then 'mngdb up --allow NAME', as 'mngdb plan' names it; "
            "elsewhere ALTER",
        ),
    ],
)
def test_a_remedy_works_on_a_server_of_others(remedy: str, external: str, adopted: str) -> None:
    found = [finding(remedy)]
    assert elsewhere(found, adopted=False)[0].remedy == external
    assert elsewhere(found, adopted=True)[0].remedy == (adopted or external)


def test_a_remedy_names_the_instance_that_failed() -> None:
    assert finding("redis: {timeout: 5m}", "queue").remedy == "queue: {timeout: 5m}"
