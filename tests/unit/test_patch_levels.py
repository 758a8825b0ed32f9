"""Versions judged by their patch level: version, where it stands, settings -> verdict."""

from __future__ import annotations

from datetime import date

import pytest

from mngdb.checks import patch_level
from mngdb.checks.patch_level import Exposure, judge
from mngdb.errors import UnobservableError
from mngdb.facts import patch_levels
from mngdb.facts.patch_levels import PRODUCTS
from mngdb.findings import SEVERITIES
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.words import numbers

DAY = date(2026, 11, 28)
#: What no known hole of MongoDB can be reached by but those that need neither.
QUIET = {"net.compression.compressors": "snappy,zstd", "security.javascriptEnabled": "false"}
TLS = {"tls-port": "6379"}


@pytest.mark.parametrize(
    ("product", "version", "safe"),
    [
        ("PostgreSQL", "13.23", None),
        ("PostgreSQL", "14.23", "14.24"),
        ("PostgreSQL", "15.18", "15.19"),
        ("PostgreSQL", "16.14", "16.15"),
        ("PostgreSQL", "17.10", "17.11"),
        ("PostgreSQL", "18.5", "18.6"),
        ("Redis", "6.2.23", "6.2.24"),
        ("Redis", "7.0.15", None),
        ("Redis", "7.2.15", "7.2.16"),
        ("Redis", "7.4.10", "7.4.11"),
        ("Redis", "8.0.6", None),
        ("Redis", "8.2.3", "8.2.9"),
        ("Redis", "8.4.0", "8.4.6"),
        ("Redis", "8.10.0", "8.10.1"),
        ("Valkey", "7.2.13", "7.2.14"),
        ("Valkey", "8.0.9", "8.0.10"),
        ("Valkey", "8.1.8", "8.1.9"),
        ("Valkey", "9.0.4", "9.0.5"),
        ("Valkey", "9.1.1", "9.1.2"),
        ("MongoDB", "5.0.34", "5.0.35"),
        ("MongoDB", "6.0.5", "6.0.30"),
        ("MongoDB", "7.0.47", "7.0.48"),
        ("MongoDB", "8.0.36", "8.0.37"),
        ("MongoDB", "8.2.11", None),
    ],
)
def test_the_least_safe_patch_level_of_each_line(
    product: str, version: str, safe: str | None
) -> None:
    assert patch_levels.least_safe(product, patch_levels.line_of(product, version)) == safe
    said = judge(product, version, "", "loopback", TLS | {}, today=DAY)
    assert said.verdict == "fail"
    line = patch_levels.line_of(product, version)
    less = f"the security fixes of {safe}" if safe else f"security fixes that the line {line} never"
    assert f"{product} {version} lacks {less}" in said.evidence
    if safe is not None:
        assert patch_levels.holes(product, safe) == ()


@pytest.mark.parametrize(
    ("product", "version"),
    [
        *[("PostgreSQL", one) for one in ("17.11", "17.12", "18.6", "16.15")],
        *[("Redis", one) for one in ("8.2.9", "8.2.10", "8.4.6", "7.2.16", "8.10.1")],
        *[("Valkey", one) for one in ("9.1.2", "8.1.9", "7.2.14")],
        *[("MongoDB", one) for one in ("8.0.37", "7.0.48", "9.0.7")],
    ],
)
def test_a_version_with_every_fix_passes_wherever_it_stands(product: str, version: str) -> None:
    for at in ("loopback", "encrypted", "plain"):
        said = judge(product, version, "", at, TLS, today=DAY)
        assert said.verdict == "pass", said
        assert "2026-11" in said.evidence


@pytest.mark.parametrize(
    ("product", "version", "settings", "severities"),
    [
        # holes that need a login: graver with each step outwards
        ("PostgreSQL", "17.10", {}, ("medium", "high", "critical")),
        ("Redis", "8.2.3", {}, ("medium", "high", "critical")),
        ("Redis", "8.2.8", {}, ("medium", "high", "critical")),
        # those that need none
        ("Redis", "8.2.3", TLS, ("high", "critical", "critical")),
        ("MongoDB", "6.0.5", {}, ("high", "critical", "critical")),
        ("MongoDB", "6.0.5", QUIET, ("high", "critical", "critical")),
        ("Valkey", "9.1.1", {}, ("high", "critical", "critical")),
        ("Valkey", "9.0.4", {}, ("medium", "high", "critical")),
    ],
)
def test_how_grave_it_is_follows_from_who_reaches_it(
    product: str, version: str, settings: dict[str, str], severities: tuple[str, str, str]
) -> None:
    places: tuple[Exposure, ...] = ("loopback", "encrypted", "plain")
    found = [judge(product, version, "", at, settings, today=DAY) for at in places]
    assert {one.verdict for one in found} == {"fail"}
    assert tuple(one.severity for one in found) == severities
    ranks = [SEVERITIES.index(one.severity or "critical") for one in found]
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize(
    ("version", "settings", "told"),
    [
        ("6.0.5", {}, {"CVE-2026-118383", "CVE-2026-11933", "CVE-2025-14847"}),
        ("6.0.5", QUIET, {"CVE-2026-118383"}),
        ("6.0.27", {}, {"CVE-2026-118383", "CVE-2026-11933"}),
        ("8.0.16", {"net.compression.compressors": "disabled"}, {"CVE-2026-118383"}),
        ("8.0.16", {"net.compression.compressors": "snappy,zlib"}, {"CVE-2025-14847"}),
        ("8.2.3", QUIET, {"CVE-2026-118383"}),
    ],
)
def test_what_the_settings_close_does_not_count(
    version: str, settings: dict[str, str], told: set[str]
) -> None:
    said = judge("MongoDB", version, "", "loopback", settings, outdated=True, today=DAY).evidence
    for one in PRODUCTS["MongoDB"].holes:
        assert one.id not in told or one.id in said
        if settings is QUIET or not settings:
            assert (one.id in said) == (one.id in told)


def test_outdated_accepts_the_age_of_a_line_and_no_hole() -> None:
    fixed = judge("MongoDB", "6.0.30", "", "loopback", QUIET, outdated=True, today=DAY)
    assert fixed.verdict == "pass"
    assert "2025-07-31; accepted" in fixed.evidence
    assert judge("MongoDB", "6.0.30", "", "loopback", QUIET, today=DAY).verdict == "fail"
    leaks = judge("MongoDB", "6.0.5", "", "plain", {}, outdated=True, today=DAY)
    assert (leaks.verdict, leaks.severity) == ("fail", "critical")


@pytest.mark.parametrize(
    ("product", "version", "wanted", "today", "verdict", "words"),
    [
        ("PostgreSQL", "17.11", "16", DAY, "fail", "the file has 16"),
        ("PostgreSQL", "17.11", "17.11", DAY, "pass", "until 2029-11-08"),
        ("PostgreSQL", "14.24", "", date(2026, 11, 12), "pass", "until 2026-11-12"),
        ("PostgreSQL", "14.24", "", date(2026, 11, 13), "fail", "since 2026-11-12"),
        ("PostgreSQL", "19.0", "", DAY, "pass", "is newer than"),
        ("PostgreSQL", "19beta1", "", DAY, "pass", "is newer than"),
        ("PostgreSQL", "9.6.24", "", DAY, "fail", "never got"),
        ("Redis", "8.12.0", "", DAY, "pass", "is newer than"),
        ("Redis", "5.0.14", "", DAY, "fail", "never got"),
        ("Redis", "8.2.9", "8", DAY, "pass", "no known security hole"),
        ("MongoDB", "8.0.37-rc0", "8", DAY, "pass", "until 2029-10-31"),
        ("MongoDB", "3.6.23", "", DAY, "fail", "never got"),
    ],
)
def test_the_line_the_file_and_the_day(
    product: str, version: str, wanted: str, today: date, verdict: str, words: str
) -> None:
    said = judge(product, version, wanted, "loopback", today=today)
    assert said.verdict == verdict
    assert words in said.evidence


def test_a_version_that_is_not_written_in_full_has_no_holes() -> None:
    for product in PRODUCTS:
        for line in {line for hole in PRODUCTS[product].holes for line in hole.fixed}:
            assert patch_levels.holes(product, line) == ()


def test_the_table_is_consistent() -> None:
    for product, known in PRODUCTS.items():
        assert len({hole.id for hole in known.holes}) == len(known.holes)
        for hole in known.holes:
            assert hole.gives
            for line, version in hole.fixed.items():
                assert patch_levels.line_of(product, version) == line
                assert len(numbers(version)) == known.parts + 1


def test_what_cannot_be_seen_of_its_network_is_taken_for_the_worst() -> None:
    def unseen() -> bool:
        raise UnobservableError("it does not tell")

    assert patch_level.exposure(enclosed=False, remote=True, plain=unseen) == "plain"
    assert patch_level.exposure(enclosed=False, remote=False, plain=unseen) == "loopback"
    assert patch_level.exposure(enclosed=True, remote=True, plain=lambda: True) == "loopback"
    assert patch_level.exposure(enclosed=False, remote=True, plain=lambda: False) == "encrypted"


def test_the_default_images_have_no_known_hole() -> None:
    for info in ENGINE_INFO.values():
        version, _, variant = info.image.tag.partition("-")
        assert variant == info.image.variant.removeprefix("-")
        line = patch_levels.line_of(info.title, version)
        assert numbers(version) > numbers(line), "pinned to a patch level"
        assert judge(info.title, version, "", "plain", {}, today=DAY).verdict == "pass"
