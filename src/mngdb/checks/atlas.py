"""The guide's boxes about MongoDB Atlas. On other targets they do not apply, and say so; a target
`atlas` is not of this version."""

from __future__ import annotations

from mngdb.findings import Check, Judgement, no_matter

_NETWORK = "guide: MongoDB 1"
_CHECKLIST = "guide: checklist"


def _elsewhere(_: object) -> Judgement:
    return no_matter("no server of this stack is a cluster of Atlas")


def _box(name: str, title: str, expected: str, remedy: str, *sources: str) -> Check[object]:
    return Check(f"atlas.{name}", title, "high", _elsewhere, expected, remedy, sources)


CHECKS: tuple[Check[object], ...] = (
    _box(
        "tier",
        "the cluster is made for production",
        "M10 or larger, three members",
        "Atlas: edit the cluster's tier",
        *("B1", _NETWORK, _CHECKLIST),
    ),
    _box(
        "private-network",
        "apps reach it by a private endpoint or by peering",
        "PrivateLink, or a peered network with private DNS",
        "Atlas: Network Access, Private Endpoint",
        *("B2", "B3", "B4", _NETWORK, _CHECKLIST),
    ),
    _box(
        "access-list",
        "no address of the whole world may connect",
        "no 0.0.0.0/0 in the IP access list",
        "Atlas: Network Access, IP Access List",
        *("B4", _NETWORK, _CHECKLIST),
    ),
    _box(
        "backup",
        "continuous backup reaches a day back",
        "point in time of 24 hours; daily at 03:00 UTC, weekly, monthly",
        "Atlas: Backup, Policy",
        *("B7", "guide: MongoDB 4", _CHECKLIST),
    ),
    _box(
        "alerts",
        "its own alerts tell of CPU, connections, disk, lag and backups",
        "an alert for each, at 80 %, 10 s, failure",
        "Atlas: Alerts",
        *("B11", "guide: MongoDB 6", _CHECKLIST),
    ),
)
