"""The guide's boxes about Atlas: each passes on a good cluster, and fails for its own reason."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from mngdb.checks.atlas import CHECKS
from mngdb.facts.atlas import App, AtlasFacts, Login
from mngdb.findings import Finding, Seen

pytestmark = pytest.mark.mongodb

KEPT = frozenset({("daily", 1, "days", 7), ("weekly", 7, "weeks", 4), ("monthly", 1, "months", 12)})
APP = App(
    login="shop",
    rights=frozenset({("readWrite", "chatdb")}),
    scheme="mongodb+srv",
    tls=True,
    options={"retryWrites": "true", "w": "majority"},
    encoded=True,
    length=40,
    mixed=True,
)
LOGIN = Login("shop", frozenset({("readWrite", "chatdb")}))
ADMIN = Login("mngdb-admin", frozenset({("atlasAdmin", "admin")}))
GOOD = AtlasFacts(
    tier="M10",
    nodes=3,
    region="AP_NORTHEAST_2",
    wants_region="AP_NORTHEAST_2",
    state="IDLE",
    paused=False,
    protected=True,
    wants_protected=True,
    grows=True,
    version="8.0.4",
    backup=True,
    continuous=True,
    kept=KEPT,
    at="03:00",
    window=1,
    wants_kept=KEPT,
    wants_at="03:00",
    wants_window=1,
    endpoints=("AVAILABLE",),
    peers=(),
    wants_private=True,
    private_string=True,
    private_dns=True,
    access=("10.0.0.0/16",),
    reasons={},
    logins=(LOGIN, ADMIN),
    admin="mngdb-admin",
    apps={"shop": APP},
    alerts=dict.fromkeys(("cpu", "connections", "disk", "lag", "backup"), ("EMAIL",)),
    advice=Seen(()),
    expires=Seen(200.0),
)


def finding(name: str, **changes: Any) -> Finding:
    (check,) = (one for one in CHECKS if one.id == f"atlas.{name}")
    return check.finding(replace(GOOD, **changes), "mongodb")


def test_a_good_cluster_passes_every_box() -> None:
    assert {one.finding(GOOD).verdict for one in CHECKS} == {"pass"}


def test_without_a_cluster_no_box_applies() -> None:
    assert {one.finding(None).verdict for one in CHECKS} == {"not_applicable"}


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("tier", {"tier": "M5"}, "M5"),
    ("tier", {"nodes": 1}, "1 electable"),
    ("tier", {"paused": True}, "paused"),
    ("region", {"region": "US_EAST_1"}, "US_EAST_1"),
    ("protection", {"protected": False}, "no termination protection"),
    ("protection", {"grows": False}, "does not grow"),
    ("private-network", {"wants_private": False, "endpoints": ()}, "public addresses"),
    ("private-network", {"endpoints": ("REJECTED",)}, "REJECTED"),
    ("private-network", {"endpoints": (), "peers": ("PENDING_ACCEPTANCE",)}, "PENDING"),
    ("private-network", {"private_string": False}, "connection string"),
    ("private-dns", {"private_dns": False}, "disabled"),
    ("access-list", {"access": ("0.0.0.0/0",)}, "everybody"),
    ("access-list", {"access": ("::/0",)}, "everybody"),
    ("access-list", {"access": ("64.0.0.0/7",)}, "too many"),
    ("access-list", {"access": ("8.8.8.8/32",)}, "public"),
    ("users", {"logins": (ADMIN,)}, "no user"),
    (
        "users",
        {"logins": (Login("shop", LOGIN.roles | {("readWriteAnyDatabase", "admin")}),)},
        "readWriteAnyDatabase",
    ),
    ("users", {"logins": (Login("shop", LOGIN.roles | {("KILL_OP", "")}),)}, "KILL_OP"),
    ("users", {"logins": (Login("shop", frozenset()),)}, "no rights"),
    ("logins-known", {"logins": (LOGIN, ADMIN, Login("eve", frozenset()))}, "eve"),
    ("passwords", {"apps": {"shop": replace(APP, length=12)}}, "12 characters"),
    ("passwords", {"apps": {"shop": replace(APP, mixed=False)}}, "all kinds"),
    ("passwords", {"apps": {"shop": replace(APP, encoded=False)}}, "percent-encoded"),
    ("connection", {"apps": {"shop": replace(APP, scheme="mongodb")}}, "SRV"),
    ("connection", {"apps": {"shop": replace(APP, tls=False)}}, "TLS"),
    ("connection", {"apps": {"shop": replace(APP, options={"w": "1"})}}, "w=majority"),
    ("backup", {"backup": False}, "off"),
    ("backup", {"continuous": False}, "continuous"),
    ("backup", {"window": 1, "wants_window": 2}, "1 days, not 2"),
    ("schedule", {"kept": KEPT - {("weekly", 7, "weeks", 4)}}, "weekly"),
    ("schedule", {"at": "15:00"}, "15:00"),
    ("alerts", {"alerts": {"cpu": ("EMAIL",)}}, "replication lag"),
    ("channels", {"alerts": {"cpu": ()}}, "CPU"),
    ("advisor", {"advice": Seen(("chatdb.users: {age: 1}",))}, "age"),
    ("credentials", {"expires": Seen(20.0)}, "20 days"),
]


@pytest.mark.parametrize(("name", "changes", "word"), BAD)
def test_each_box_fails_for_its_own_reason(name: str, changes: dict[str, Any], word: str) -> None:
    found = finding(name, **changes)
    assert found.verdict == "fail"
    assert word in found.evidence


def test_every_box_has_a_case_that_fails() -> None:
    assert {f"atlas.{name}" for name, *_ in BAD} == {one.id for one in CHECKS}


@pytest.mark.parametrize(("days", "severity"), [(29, "medium"), (6.5, "high"), (0.5, "critical")])
def test_credentials_are_graver_the_nearer_their_end(days: float, severity: str) -> None:
    assert finding("credentials", expires=Seen(days)).severity == severity


def test_what_atlas_does_not_tell_is_unknown() -> None:
    assert finding("advisor", advice=Seen(missing="not allowed")).verdict == "unknown"


def test_a_network_with_a_reason_is_accepted_and_told() -> None:
    given = {"access": ("0.0.0.0/0",), "reasons": {"0.0.0.0/0": "a demonstration"}}
    found = finding("access-list", **given)
    assert found.verdict == "pass"
    assert "a demonstration" in found.evidence
