"""What the private ways to a cluster need of AWS: interface endpoints, peering, routes.

Everything that is made carries the stack's mark as a tag, and is found by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mngdb.errors import StepError, UsageError
from mngdb.spec.atlas import Peering, PrivateLink
from mngdb.targets.atlas.session import MARK

Document = dict[str, Any]
#: States of what is gone, in AWS' words.
_GONE = {"deleted", "deleting", "rejected", "failed", "expired"}


def spelled(region: str) -> str:
    """Atlas' spelling of a region as AWS writes it."""
    return region.lower().replace("_", "-")


class Aws:
    """EC2 in one region, named as AWS does. `AWS_ENDPOINT_URL` is honoured, as boto3 does."""

    def __init__(self, region: str, mark: str, environ: Mapping[str, str]) -> None:
        try:
            import boto3
        except ImportError:
            raise UsageError(
                "private ways to Atlas need boto3, which is not installed",
                "pip install 'mngdb[aws]'",
            ) from None
        self._mark = mark
        profile = environ.get("AWS_PROFILE") or None
        with _told("the login"):
            session = boto3.Session(profile_name=profile)
            self._ec2: Any = session.client("ec2", region_name=region)

    # --- interface endpoints

    def endpoint(self, vpc: str, service: str) -> Document | None:
        """The stack's endpoint in a VPC for a service (empty: any); None: there is none."""
        filters = [
            {"Name": "vpc-id", "Values": [vpc]},
            {"Name": f"tag:{MARK}", "Values": [self._mark]},
        ]
        with _told("describe-vpc-endpoints"):
            found = self._ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
        there = [one for one in found if str(one["State"]).lower() not in _GONE]
        return next((one for one in there if service in {"", one["ServiceName"]}), None)

    def create_endpoint(self, wanted: PrivateLink, service: str, token: str) -> str:
        """Make one; asked again with the same token, AWS gives the same. Returns its id."""
        tags = [{"Key": MARK, "Value": self._mark}]
        groups = {"SecurityGroupIds": wanted.security_groups} if wanted.security_groups else {}
        with _told("create-vpc-endpoint"):
            made = self._ec2.create_vpc_endpoint(
                VpcEndpointType="Interface",
                VpcId=wanted.vpc,
                ServiceName=service,
                SubnetIds=wanted.subnets,
                ClientToken=token,
                TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": tags}],
                **groups,
            )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def change_endpoint(self, known: str, changes: Mapping[str, list[str]]) -> None:
        """Add and remove subnets and security groups."""
        given = {name: ids for name, ids in changes.items() if ids}
        with _told("modify-vpc-endpoint"):
            self._ec2.modify_vpc_endpoint(VpcEndpointId=known, **given)

    def delete_endpoint(self, known: str) -> None:
        """Remove one; what is not there is no error."""
        with _told("delete-vpc-endpoints", missing_ok=True):
            self._ec2.delete_vpc_endpoints(VpcEndpointIds=[known])

    # --- peering

    def blocks(self, vpc: str) -> list[str]:
        """The CIDR blocks of a VPC. Raises StepError where there is no such VPC."""
        with _told("describe-vpcs"):
            (found,) = self._ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
        more = [one["CidrBlock"] for one in found.get("CidrBlockAssociationSet", ())]
        return [*dict.fromkeys([str(found["CidrBlock"]), *map(str, more)])]

    def resolves(self, vpc: str) -> bool:
        """Whether the VPC resolves names to private addresses: DNS support and host names."""
        with _told("describe-vpc-attribute"):
            ask = self._ec2.describe_vpc_attribute
            support = ask(VpcId=vpc, Attribute="enableDnsSupport")["EnableDnsSupport"]["Value"]
            names = ask(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
        return bool(support and names)

    def accept(self, connection: str) -> None:
        """Accept a peering connection; one that is accepted already is no error."""
        with _told("describe-vpc-peering-connections"):
            (found,) = self._ec2.describe_vpc_peering_connections(
                VpcPeeringConnectionIds=[connection]
            )["VpcPeeringConnections"]
        if found["Status"]["Code"] in {"active", "provisioning"}:
            return
        with _told("accept-vpc-peering-connection"):
            self._ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=connection)

    def routes(self, wanted: Peering) -> dict[str, str]:
        """Route table to what its route to the cluster's network leads to; empty: there is none."""
        if not wanted.route_tables:
            return {}
        with _told("describe-route-tables"):
            tables = self._ec2.describe_route_tables(RouteTableIds=wanted.route_tables)
        return {
            str(table["RouteTableId"]): next(
                (
                    str(route.get("VpcPeeringConnectionId") or route.get("GatewayId") or "another")
                    for route in table["Routes"]
                    if route.get("DestinationCidrBlock") == wanted.atlas_cidr
                ),
                "",
            )
            for table in tables["RouteTables"]
        }

    def route(self, table: str, block: str, connection: str) -> None:
        """Make a route."""
        with _told("create-route"):
            self._ec2.create_route(
                RouteTableId=table,
                DestinationCidrBlock=block,
                VpcPeeringConnectionId=connection,
            )

    def unroute(self, table: str, block: str) -> None:
        """Remove a route; what is not there is no error."""
        with _told("delete-route", missing_ok=True):
            self._ec2.delete_route(RouteTableId=table, DestinationCidrBlock=block)


@contextmanager
def _told(what: str, *, missing_ok: bool = False) -> Iterator[None]:
    """AWS' refusals as errors of ours, in its own words."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        code = str(told.get("Code", ""))
        if missing_ok and "NotFound" in code:
            return
        request = error.response.get("ResponseMetadata", {}).get("RequestId", "")
        hint = None
        if "Unauthorized" in code or "AccessDenied" in code:
            hint = f"allow ec2:{''.join(map(str.title, what.split('-')))} in the IAM policy"
        raise StepError(
            f"AWS refused {what}: {str(told.get('Message', '')).rstrip('.')} ({code}, request "
            f"{request or 'unknown'})",
            hint,
        ) from None
    except BotoCoreError as error:
        raise StepError(
            f"AWS could not be asked ({what}): {error}",
            "check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ) from None
