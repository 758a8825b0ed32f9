"""AWS' network in this process: what `mngdb.targets.atlas.aws.Aws` asks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mngdb.spec.atlas import Peering, PrivateLink
from tests.atlas.world import Document, new_id

#: The block of every VPC.
BLOCK = "10.20.0.0/16"


class Ec2:
    """`endpoints` by their ids, and what `routes` lead to, by table and block."""

    def __init__(self, accept: Callable[[str], None]) -> None:
        self.accept = accept
        self.endpoints: dict[str, Document] = {}
        self.routes: dict[tuple[str, str], str] = {}

    def opened(self, region: str, mark: str, environ: Mapping[str, str]) -> Opened:
        """As a stack with this mark sees it."""
        return Opened(self, mark)

    def add(self, vpc: str, service: str, mark: str, subnets: list[str]) -> str:
        """A new endpoint; its id."""
        known = f"vpce-{new_id()[:17]}"
        made = {"VpcEndpointId": known, "VpcId": vpc, "ServiceName": service, "mark": mark}
        self.endpoints[known] = {**made, "SubnetIds": subnets, "Groups": []}
        return known


@dataclass
class Opened:
    """See Aws, whose methods these are."""

    ec2: Ec2
    mark: str

    def endpoint(self, vpc: str, service: str) -> Document | None:
        every = self.ec2.endpoints.values()
        mine = (one for one in every if (one["VpcId"], one["mark"]) == (vpc, self.mark))
        return next((one for one in mine if service in {"", one["ServiceName"]}), None)

    def create_endpoint(self, wanted: PrivateLink, service: str, token: str) -> str:
        return self.ec2.add(wanted.vpc, service, self.mark, wanted.subnets)

    def change_endpoint(self, known: str, changes: Mapping[str, list[str]]) -> None:
        found = self.ec2.endpoints[known]
        left = set(found["SubnetIds"]) - set(changes["RemoveSubnetIds"])
        found["SubnetIds"] = sorted(left | set(changes["AddSubnetIds"]))

    def delete_endpoint(self, known: str) -> None:
        self.ec2.endpoints.pop(known, None)

    def blocks(self, vpc: str) -> list[str]:
        return [BLOCK]

    def resolves(self, vpc: str) -> bool:
        return True

    def accept(self, connection: str) -> None:
        self.ec2.accept(connection)

    def routes(self, wanted: Peering) -> dict[str, str]:
        block: Any = wanted.atlas_cidr
        return {table: self.ec2.routes.get((table, block), "") for table in wanted.route_tables}

    def route(self, table: str, block: str, connection: str) -> None:
        self.ec2.routes[table, block] = connection

    def unroute(self, table: str, block: str) -> None:
        self.ec2.routes.pop((table, block), None)
