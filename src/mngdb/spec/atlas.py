"""What the file says of MongoDB Atlas: where the cluster is, and who may come to it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from mngdb.spec.strict import Model
from mngdb.spec.units import Size

#: Atlas takes no more entries in a project's access list.
MOST_ENTRIES = 200
#: A list with a shorter prefix is open to a share of the internet that nobody meant.
_SHORTEST = 8
#: Why a tier is not for production; they cannot be changed into one that is without a downtime.
_SHARED = "it shares its machine, has no point-in-time backup and no private network"
_NAME = r"[A-Za-z0-9][A-Za-z0-9-]{0,63}"
GIB = 1 << 30


def _tier(value: str) -> str:
    name = value.upper()
    if name in {"M0", "M2", "M5", "FLEX", "FREE"}:
        raise ValueError(f"the tier {value} is not for production: {_SHARED}; use M10 or larger")
    if not re.fullmatch(r"[MR][1-9][0-9]{1,2}(_NVME)?(_GEN_2)?", name):
        raise ValueError(f"{value[:40]!r} is not a cluster tier; write M10, M20, M30 or larger")
    return name


def _region(value: str) -> str:
    name = value.upper().replace("-", "_")
    if not re.fullmatch(r"[A-Z]{2}(_[A-Z]+)+_[0-9]", name):
        raise ValueError(f"{value[:40]!r} is not an AWS region; write it as ap-northeast-2")
    return name


def _url(value: str) -> str:
    local = re.fullmatch(r"http://(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]{1,5})?/?", value)
    if not local and not re.fullmatch(r"https://[A-Za-z0-9.\[\]:-]+/?", value):
        raise ValueError(f"{value[:60]!r} is not the https address of Atlas' API")
    return value.rstrip("/")


def _organization(value: str) -> str:
    if not re.fullmatch("[0-9a-f]{24}", value):
        raise ValueError(
            f"{value[:40]!r} is not the id of an organization: 24 hexadecimal digits (Atlas: "
            "Organization, Settings)"
        )
    return value


def _account(value: str) -> str:
    if not re.fullmatch("[0-9]{12}", value):
        raise ValueError(f"{value[:40]!r} is not the number of an AWS account: 12 digits")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise ValueError(f"{value[:40]!r} is not a cluster name; use letters, digits and -")
    return value


def _id(kind: str, text: str) -> AfterValidator:
    """An id of AWS that begins with its kind."""

    def check(value: str) -> str:
        if not re.fullmatch(rf"{kind}-[0-9a-f]{{8,32}}", value):
            raise ValueError(
                f"{value[:40]!r} is not the id of {text}; write it as {kind}-0a1b2c3d4e5f60718"
            )
        return value

    return AfterValidator(check)


def network(text: str) -> IPv4Network | IPv6Network:
    """A network from a CIDR block or an address. Raises ValueError."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        whole = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not an IP address or CIDR block") from None
    raise ValueError(f"{text} has bits beyond its prefix; write {whole}")


def _cidr(value: str) -> str:
    return str(network(value))


def _until(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            f"{value[:40]!r} is not a date or a time; write 2026-12-31 or 2026-12-31T18:00Z"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Vpc = Annotated[str, _id("vpc", "a VPC")]
Cidr = Annotated[str, AfterValidator(_cidr)]


class AccessEntry(Model):
    """An entry of the IP access list. Short form: the address or the CIDR block."""

    cidr: Cidr | None = None
    """Addresses that may connect, as a CIDR block."""
    ip: Cidr | None = None
    """One address that may connect."""
    comment: str = Field(default="", max_length=40)
    """What it is for, shown in Atlas."""
    until: Annotated[str, AfterValidator(_until)] | None = None
    """When the entry ends: a date or a time (UTC if no zone is given). Atlas removes an entry by
    itself if the end was set less than a week ahead, which `up` does; one that ended before is
    removed by the next `up`."""
    reason: str = ""
    """Why the entry has to be wider than /8, which is refused otherwise."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"cidr": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _narrow(self) -> AccessEntry:
        if (self.cidr is None) == (self.ip is None):
            raise ValueError("name either 'cidr' or 'ip'")
        if self.ip is not None and network(self.ip).num_addresses != 1:
            raise ValueError(f"{self.ip} is more than one address; write it as 'cidr'")
        if self.network.prefixlen < _SHORTEST and not self.reason.strip():
            who = "every address" if self.network.prefixlen == 0 else "a large part of the internet"
            raise ValueError(
                f"{self.network} lets {who} connect; name the addresses of your apps, "
                "or add 'reason: TEXT' to the entry"
            )
        return self

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """The addresses."""
        return network(self.cidr or self.ip or "")


class PrivateLink(Model):
    """AWS PrivateLink: an interface endpoint in your VPC that leads to the cluster."""

    vpc: Vpc
    """Id of the VPC that gets the endpoint."""
    subnets: list[Annotated[str, _id("subnet", "a subnet")]] = Field(min_length=1, max_length=16)
    """Ids of the subnets in which it has an address, one per availability zone."""
    security_groups: list[Annotated[str, _id("sg", "a security group")]] = Field(
        default_factory=lambda: [], max_length=16
    )
    """Ids of its security groups. Default: the VPC's own."""


class Peering(Model):
    """VPC peering: a route between your VPC and that of the cluster."""

    vpc: Vpc
    """Id of your VPC."""
    account: Annotated[str, AfterValidator(_account)]
    """AWS account that the VPC belongs to."""
    vpc_cidr: Cidr
    """CIDR block of your VPC."""
    atlas_cidr: Cidr = "192.168.248.0/21"
    """CIDR block of the cluster's network, /21 to /24. It is fixed once the cluster exists."""
    region: Annotated[str, AfterValidator(_region)] | None = None
    """Region of your VPC. Default: the cluster's."""
    route_tables: list[Annotated[str, _id("rtb", "a route table")]] = Field(
        default_factory=lambda: [], max_length=50
    )
    """Ids of the route tables that get a route to the cluster's network."""

    @model_validator(mode="after")
    def _apart(self) -> Peering:
        ours, theirs = network(self.vpc_cidr), network(self.atlas_cidr)
        for one in (ours, theirs):
            if not one.is_private or one.version != 4:
                raise ValueError(f"{one} is not a private IPv4 network")
        if not 21 <= theirs.prefixlen <= 24:
            raise ValueError(f"atlas_cidr {theirs}: Atlas takes prefixes of /21 to /24")
        if ours.overlaps(theirs):
            raise ValueError(
                f"vpc_cidr {ours} and atlas_cidr {theirs} overlap; choose another atlas_cidr"
            )
        return self


class Atlas(Model):
    """A cluster of MongoDB Atlas, on AWS."""

    project: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Atlas project. Default: the stack's name. It is created if missing."""
    organization: Annotated[str, AfterValidator(_organization)] | None = None
    """Id of the Atlas organization. Needed only where the credentials lead to several."""
    cluster: Annotated[str, AfterValidator(_name)] | None = None
    """Name of the cluster. Default: the unit's name."""
    tier: Annotated[str, AfterValidator(_tier)] = "M10"
    """Cluster tier: `M10` or larger."""
    region: Annotated[str, AfterValidator(_region)] | None = None
    """AWS region: `ap-northeast-2`. Default: `AWS_REGION` of the environment."""
    disk: Size | None = None
    """Size of the disk, in whole GB, at least 10. Default: the tier's. It grows by itself."""
    protected: bool = True
    """Termination protection: `mngdb destroy` cannot remove the cluster while it is on."""
    access: list[AccessEntry] = Field(default_factory=lambda: [], max_length=MOST_ENTRIES)
    """Addresses that may connect from the internet. Default: none."""
    private_link: PrivateLink | None = None
    """AWS PrivateLink, the recommended way to the cluster."""
    peering: Peering | None = None
    """VPC peering."""
    url: Annotated[str, AfterValidator(_url)] = "https://cloud.mongodb.com"
    """Address of Atlas' API."""

    @model_validator(mode="after")
    def _disk_in_gigabytes(self) -> Atlas:
        if self.disk is not None and (self.disk % GIB or not 10 * GIB <= self.disk <= 4096 * GIB):
            raise ValueError("disk: write whole gigabytes between 10gb and 4096gb")
        return self

    @model_validator(mode="after")
    def _once(self) -> Atlas:
        seen: list[IPv4Network | IPv6Network] = []
        for entry in self.access:
            for other in seen:
                if entry.network.version == other.version and entry.network.overlaps(other):
                    same = "is listed twice" if entry.network == other else f"overlaps {other}"
                    raise ValueError(f"access: {entry.network} {same}; remove one of them")
            seen.append(entry.network)
        return self

    @property
    def disk_gb(self) -> int | None:
        """Size of the disk in GB."""
        return self.disk // GIB if self.disk is not None else None
