"""What Atlas does in AWS: looks at interface endpoints, and asks for peering connections.

Against moto's server, where a test has one: then what the client makes there is what counts.
"""

from __future__ import annotations

from typing import Any


class Aws:
    """EC2 behind an endpoint, as Atlas' own account."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}

    def _ec2(self, region: str) -> Any:
        import boto3  # a second, and few tests need it

        name = region.lower().replace("_", "-")
        if name not in self._clients:
            login = {"aws_access_key_id": "atlas", "aws_secret_access_key": "atlas"}
            client = boto3.client("ec2", region_name=name, endpoint_url=self._endpoint, **login)
            self._clients[name] = client
        return self._clients[name]

    def endpoint_leads_to(self, region: str, endpoint: str, service: str) -> bool:
        """Whether there is such an interface endpoint, to that service."""
        found = self._ec2(region).describe_vpc_endpoints()["VpcEndpoints"]  # moto has no filter
        there = (one["ServiceName"] for one in found if one["VpcEndpointId"] == endpoint)
        return service in there

    def ask_for_peering(self, region: str, block: str, account: str, vpc: str) -> tuple[str, str]:
        """A network of Atlas' own with this block, and a connection from it: both ids."""
        ec2 = self._ec2(region)
        own = ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
        asked = ec2.create_vpc_peering_connection(VpcId=own, PeerVpcId=vpc, PeerOwnerId=account)
        return own, asked["VpcPeeringConnection"]["VpcPeeringConnectionId"]

    def peering(self, region: str, connection: str) -> str:
        """The state of a connection, in AWS' words."""
        found = self._ec2(region).describe_vpc_peering_connections(
            VpcPeeringConnectionIds=[connection]
        )
        return str(found["VpcPeeringConnections"][0]["Status"]["Code"])
