"""What the file says of Atlas: short forms, what is refused and how that reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from mngdb.errors import UsageError
from mngdb.spec.atlas import Atlas
from mngdb.spec.load import load
from tests.unit.spec import refused, stack

HEAD = "mongodb: {target: {atlas: {region: ap-northeast-2"


def atlas(rest: str = "") -> Atlas:
    found = stack(f"{HEAD}{rest}}}}}}}").instances["mongodb"].target.of(Atlas)
    assert found is not None
    return found


def test_regions_are_written_as_aws_or_as_atlas_writes_them() -> None:
    assert atlas().region == "AP_NORTHEAST_2"
    assert stack("mongodb: {target: atlas}").instances["mongodb"].hosted
    found = stack("mongodb: {target: {atlas: {region: US_GOV_WEST_1}}}").instances["mongodb"]
    assert found.target.of(Atlas).region == "US_GOV_WEST_1"  # type: ignore[union-attr]
    assert "ap-northeast-2" in refused("mongodb: {target: {atlas: {region: Seoul}}}")


@pytest.mark.parametrize("tier", ["M0", "flex", "M2", "M5"])
def test_shared_tiers_are_refused_with_the_reason(tier: str) -> None:
    said = refused(f"{HEAD}, tier: {tier}}}}}}}")
    assert "no point-in-time backup" in said
    assert "M10" in said


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "::/0", "64.0.0.0/7"])
def test_networks_without_a_limit_need_a_reason(cidr: str) -> None:
    assert "reason" in refused(f"{HEAD}, access: ['{cidr}']}}}}}}")
    entry = f"{{cidr: '{cidr}', reason: a demonstration}}"
    assert str(atlas(f", access: [{entry}]").access[0].network) == cidr


@pytest.mark.parametrize(
    ("access", "word"),
    [
        ("[203.0.113.1, 203.0.113.0/24]", "overlaps"),
        ("[203.0.113.1, 203.0.113.1/32]", "twice"),
        ("[203.0.113.1/24]", "203.0.113.0/24"),
        ("[office]", "not an IP address"),
        ("[{ip: 203.0.113.0/24}]", "more than one address"),
        ("[{comment: x}]", "either"),
        ("[{ip: 203.0.113.1, until: soon}]", "2026-12-31"),
    ],
)
def test_access_entries_that_cannot_be_meant_are_refused(access: str, word: str) -> None:
    assert word in refused(f"{HEAD}, access: {access}}}}}}}")


def test_an_end_is_a_moment_in_utc() -> None:
    found = atlas(", access: [{ip: 203.0.113.1, until: '2026-12-31T18:00+09:00'}]")
    assert found.access[0].until == "2026-12-31T09:00:00Z"


PEERING = "vpc: vpc-0123456789abcdef0, account: '123456789012'"


@pytest.mark.parametrize(
    ("rest", "word"),
    [
        ("vpc_cidr: 192.168.0.0/16", "overlap"),
        ("vpc_cidr: 10.0.0.0/16, atlas_cidr: 192.168.0.0/16", "/21"),
        ("vpc_cidr: 8.8.8.0/24", "private"),
    ],
)
def test_networks_that_cannot_be_peered_are_refused(rest: str, word: str) -> None:
    assert word in refused(f"{HEAD}, peering: {{{PEERING}, {rest}}}}}}}}}")


def test_other_keys() -> None:
    assert atlas(", disk: 40gb").disk_gb == 40
    assert "whole gigabytes" in refused(f"{HEAD}, disk: 5gb}}}}}}")
    assert "https" in refused(f"{HEAD}, url: 'http://cloud.mongodb.com'}}}}}}")
    assert atlas(", url: 'http://127.0.0.1:8000'").url == "http://127.0.0.1:8000"
    assert "subnet-0a1b2c3d" in refused(
        f"{HEAD}, private_link: {{vpc: vpc-0123456789abcdef0, subnets: [subnet-1]}}}}}}}}"
    )
    assert "24 hexadecimal digits" in refused(f"{HEAD}, organization: acme}}}}}}")
    assert "write it in quotes: '123'" in refused(f"{HEAD}, organization: 123}}}}}}")
    assert "has to have at least 1 character" in refused(f"{HEAD}, project: ''}}}}}}")
    wrong = PEERING.replace("123456789012", "12")
    text = refused(f"{HEAD}, peering: {{{wrong}, vpc_cidr: 10.0.0.0/16}}}}}}}}")
    assert "'12' is not the number of an AWS account" in text


def test_other_engines_and_two_clusters_in_one_project_are_refused() -> None:
    told = refused("redis: {target: atlas}")
    assert "does not support Redis" in told
    assert "'mongodb: {target: atlas}'" in told
    two = "mongodb: {target: atlas}\ninstances: {more: {engine: mongodb, target: atlas}}"
    assert "both in the Atlas project 'mng'" in refused(two)
    stack(two.replace("target: atlas}}", "target: {atlas: {project: other}}}}"))


def test_a_command_moves_what_can_live_there_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "mngdb.yaml"
    file.write_text(
        "mongodb: {port: 27099, target: {atlas: {tier: M20}}}\nredis:\n"
        "instances: {more: {engine: mongodb, target: {atlas: {project: other}}}}"
    )
    found = load([file], {}, "atlas").instances
    assert {name: one.target.kind for name, one in found.items()} == {
        "mongodb": "atlas",
        "redis": "local",
        "more": "atlas",
    }
    assert found["mongodb"].target.of(Atlas).tier == "M20"  # type: ignore[union-attr]
    file.write_text("redis:")
    with pytest.raises(UsageError, match="MongoDB"):
        load([file], {}, "atlas")
