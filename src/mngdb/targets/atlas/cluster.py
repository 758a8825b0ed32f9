"""The cluster itself: tier, region, three electable nodes, version, backups, protection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from mngdb.errors import UsageError
from mngdb.model import Notice
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.session import (
    MARK,
    AtlasStep,
    Found,
    Make,
    Session,
    Wanted,
    marked,
    marks,
    take_over,
)
from mngdb.targets.atlas.waiting import wait

NODES = 3
#: Dollars an hour of three nodes on AWS, as listed in 2025; regions differ.
_PRICES = {
    "M10": 0.08,
    "M20": 0.20,
    "M30": 0.54,
    "M40": 1.04,
    "M50": 2.00,
    "M60": 3.95,
    "M80": 7.30,
}
_HOURS = 730
#: What Atlas takes back of a replication spec that it has answered, and nodes besides ours.
_TAKEN = frozenset({
    "zoneName", "regionConfigs", "providerName", "regionName", "priority",
    "electableSpecs", "readOnlySpecs", "analyticsSpecs",
    "instanceSize", "nodeCount", "diskSizeGB", "diskIOPS", "ebsVolumeType",
    "autoScaling", "analyticsAutoScaling", "diskGB", "compute",
    "enabled", "scaleDownEnabled", "minInstanceSize", "maxInstanceSize",
})  # fmt: skip
_OTHERS = frozenset({"readOnlySpecs", "analyticsSpecs"})
_USUAL = "7 to 15 min"


def price(tier: str) -> str:
    """What a tier costs, in words."""
    if tier in _PRICES:
        return f"about USD {_PRICES[tier] * _HOURS:.0f} a month, backups and traffic apart"
    return "see https://www.mongodb.com/pricing"


def ours(wanted: Wanted, cluster: Json) -> bool:
    """Whether this stack made it."""
    return wanted.ours(marks(cluster.get("tags")).get(MARK))


def usable(wanted: Wanted, cluster: Json | None) -> bool:
    """Whether the cluster is there and may be worked on."""
    mine = cluster is not None and (ours(wanted, cluster) or wanted.allows(_name(wanted)))
    return mine and cluster is not None and not cluster.get("paused")


def region_of(cluster: Json) -> Json:
    """The region that elects first, which is the one that we know of."""
    regions: list[Json] = [
        one for spec in cluster.get("replicationSpecs", ()) for one in spec["regionConfigs"]
    ]
    return max(regions, key=lambda one: int(one.get("priority", 0)), default={})


def steps(wanted: Wanted, found: Found, make: Make) -> Iterator[AtlasStep]:
    """Make it, wait for one that is not ready, change what differs."""
    name, cluster = _name(wanted), found.cluster
    if cluster is None:
        detail = f"{wanted.spec.tier}, {wanted.region}, {NODES} nodes, MongoDB {wanted.version}"
        yield make("create", name, detail, _create, costs=price(wanted.spec.tier))
        return
    if not ours(wanted, cluster) and not wanted.allows(name):
        yield take_over(make, name, "a cluster")
        return
    state = str(cluster.get("stateName", "IDLE"))
    if state == "DELETING":
        yield make("change", name, "wait until it is deleted, then create it", _deleted)
        return
    if cluster.get("paused"):
        cost = price(str(region_of(cluster).get("electableSpecs", {}).get("instanceSize", "")))
        yield make("start", name, "resume the paused cluster", _resume, costs=cost)
        return
    if state != "IDLE":
        yield make("start", name, f"wait until it is ready ({state.lower()})", ready)
    if not ours(wanted, cluster):
        yield make("change", name, "mark as this stack's", _mark)
    yield from _differences(wanted, cluster, make)


def _differences(wanted: Wanted, cluster: Json, make: Make) -> Iterator[AtlasStep]:
    """One request for all that costs: each takes Atlas minutes."""
    name, spec = _name(wanted), wanted.spec
    if bool(cluster.get("terminationProtectionEnabled")) != spec.protected:
        text = f"{'enable' if spec.protected else 'disable'} termination protection"
        yield make("change", name, text, _set({"terminationProtectionEnabled": spec.protected}))
    changes = [*_flags(wanted, cluster), *_hardware(wanted, region_of(cluster))]
    if changes:
        text = ", ".join(change.text for change in changes)
        costs = ", ".join(dict.fromkeys(change.costs for change in changes if change.costs))
        yield make("change", name, text, _apply(changes), costs=costs)
    major = str(cluster.get("mongoDBMajorVersion") or "")
    if wanted.asked.version and _number(major) < _number(wanted.version):
        text = f"MongoDB {major} → {wanted.version}, which cannot be undone"
        change = _set({"mongoDBMajorVersion": wanted.version})
        yield make("change", name, text, change, destructive=True)


class _Change(Struct, frozen=True):
    """A field that differs: of the cluster, of its region, or of that one's electable nodes."""

    text: str
    place: Literal["cluster", "region", "nodes"]
    key: str
    value: object
    costs: str = ""


def _flags(wanted: Wanted, cluster: Json) -> Iterator[_Change]:
    costs = "backup storage by GB and month"
    for key, value, text in (
        ("backupEnabled", True, "cloud backup"),
        ("pitEnabled", _continuous(wanted), "continuous backup (point in time)"),
    ):
        if bool(cluster.get(key)) != value:
            switched = f"{'enable' if value else 'disable'} {text}"
            yield _Change(switched, "cluster", key, value, costs if value else "")


def _hardware(wanted: Wanted, region: Json) -> Iterator[_Change]:
    spec, found = wanted.spec, region.get("electableSpecs", {})
    cost = price(spec.tier)
    if region.get("regionName") != wanted.region:
        text = f"region {region.get('regionName')} → {wanted.region}"
        traffic = "the traffic of all data to the new region"
        yield _Change(text, "region", "regionName", wanted.region, traffic)
    if found.get("instanceSize") != spec.tier:
        text = f"tier {found.get('instanceSize')} → {spec.tier}"
        yield _Change(text, "nodes", "instanceSize", spec.tier, cost)
    nodes = int(found.get("nodeCount", 0))
    if nodes < NODES:
        yield _Change(f"electable nodes {nodes} → {NODES}", "nodes", "nodeCount", NODES, cost)
    size, there = spec.disk_gb, float(found.get("diskSizeGB", 0))
    if size is not None and there < size:  # it grows by itself, and never shrinks
        text = f"disk {there:g} GB → {size} GB"
        yield _Change(text, "nodes", "diskSizeGB", float(size), "the larger disk")
    scaling = region.get("autoScaling") or {}
    if not (scaling.get("diskGB") or {}).get("enabled"):
        value = {**_plain(scaling), "diskGB": {"enabled": True}}
        yield _Change("let the disk grow", "region", "autoScaling", value, "a disk that grows")


def notices(wanted: Wanted, found: Found) -> Iterator[Notice]:
    """What a person should know and nobody changes."""
    cluster = found.cluster
    if cluster is None:
        return
    major = str(cluster.get("mongoDBMajorVersion") or "")
    if wanted.asked.version and _number(major) > _number(wanted.version):
        text = f"the cluster runs MongoDB {major}; Atlas cannot go back to {wanted.version}"
        yield Notice(wanted.known, text, f"write 'version: {major}'")
    given = wanted.asked.instance.spec.model_fields_set
    ignored = [key for key in ("port", "bind", "tls", "memory", "settings") if key in given]
    if ignored:
        text = f"Atlas decides {', '.join(ignored)}: what the file says of it has no effect there"
        yield Notice(wanted.known, text)


def ready(session: Session, then: str = "users, backups, alerts, indexes") -> None:
    """Wait until the cluster is idle and can be reached; `then`: what comes after that."""

    def look() -> tuple[str, bool]:
        found = session.api.get(*session.cluster())
        reached = bool((found.get("connectionStrings") or {}).get("standard"))
        state = str(found.get("stateName", "IDLE"))
        return state, state == "IDLE" and reached

    wait(session, f"cluster {session.wanted.cluster}", look, _USUAL, then)


def _name(wanted: Wanted) -> str:
    return f"cluster {wanted.cluster}"


def _continuous(wanted: Wanted) -> bool:
    return wanted.backup.keep.point_in_time.total_seconds() > 0


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def body(wanted: Wanted, name: str) -> Json:
    """A new cluster as the API takes it."""
    spec = wanted.spec
    hardware: dict[str, Any] = {"instanceSize": spec.tier, "nodeCount": NODES}
    if spec.disk_gb is not None:
        hardware["diskSizeGB"] = float(spec.disk_gb)
    region = {
        "providerName": "AWS",
        "regionName": wanted.region,
        "priority": 7,
        "electableSpecs": hardware,
        "autoScaling": {"diskGB": {"enabled": True}},
    }
    return {
        "name": name,
        "clusterType": "REPLICASET",
        "mongoDBMajorVersion": wanted.version,
        "backupEnabled": True,
        "pitEnabled": _continuous(wanted),
        "terminationProtectionEnabled": spec.protected,
        "replicationSpecs": [{"regionConfigs": [region]}],
        "tags": [{"key": MARK, "value": wanted.mark}],
    }


def _create(session: Session) -> None:
    """Make it, and wait: a cluster whose making was interrupted is found by its name and mark."""
    wanted = session.wanted
    session.api.post(body(wanted, wanted.cluster), *session.group("clusters"))
    ready(session)


def _deleted(session: Session) -> None:
    def look() -> tuple[str, bool]:
        found = session.api.find(*session.cluster())
        return ("gone", True) if found is None else (str(found.get("stateName")), False)

    wait(session, f"cluster {session.wanted.cluster}", look, "5 min", "it is created anew")


def _resume(session: Session) -> None:
    session.api.patch({"paused": False}, *session.cluster())
    ready(session)


def _mark(session: Session) -> None:
    found = session.api.get(*session.cluster())
    tags = marked(found.get("tags"), session.wanted.mark)
    session.api.patch({"tags": tags}, *session.cluster())
    ready(session)


def _set(fields: Json) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.api.patch(fields, *session.cluster())
        ready(session)

    return run


def _apply(changes: list[_Change]) -> Callable[[Session], None]:
    """Set these fields, and leave what else there is of regions and nodes."""

    def run(session: Session) -> None:
        found = session.api.get(*session.cluster())
        specs = _plain(found["replicationSpecs"])
        region = region_of({"replicationSpecs": specs})
        fields: Json = {one.key: one.value for one in changes if one.place == "cluster"}
        region |= {one.key: one.value for one in changes if one.place == "region"}
        nodes = {one.key: one.value for one in changes if one.place == "nodes"}
        region["electableSpecs"] = {**region.get("electableSpecs", {}), **nodes}
        if any(one.place != "cluster" for one in changes):
            fields["replicationSpecs"] = specs
        session.api.patch(fields, *session.cluster())
        ready(session)

    return run


def _plain(value: Any) -> Any:
    """A replication spec as Atlas takes it back: it answers with more than that. Nodes that others
    have added stay."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _plain(one)
        for key, one in value.items()
        if key in _TAKEN and one is not None and not (key in _OTHERS and not one.get("nodeCount"))
    }


def strings(cluster: Json) -> dict[str, str]:
    """The connection strings that there are: `standard`, `standardSrv`, `private`, `privateSrv`."""
    found = cluster.get("connectionStrings") or {}
    names = ("standard", "standardSrv", "private", "privateSrv")
    there = {name: str(found[name]) for name in names if found.get(name)}
    for one in found.get("privateEndpoint") or ():
        there["private"] = str(one.get("connectionString") or there.get("private", ""))
        there["privateSrv"] = str(one.get("srvConnectionString") or there.get("privateSrv", ""))
    return {name: text for name, text in there.items() if text}


def region(spec_region: str | None, environ: Mapping[str, str]) -> str:
    """The region, in Atlas' spelling. Raises UsageError where nobody says it."""
    named = spec_region or environ.get("AWS_REGION", "").upper().replace("-", "_")
    if not named:
        raise UsageError(
            "the region of the Atlas cluster is not set",
            "write 'region: ap-northeast-2' under 'atlas:' in the file, or set AWS_REGION",
        )
    return named
