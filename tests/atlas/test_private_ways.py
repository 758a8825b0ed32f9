"""PrivateLink and peering whole: Atlas' side, AWS' side (moto's EC2), and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.atlas.conftest import LOGIN, REGION, beside
from tests.atlas.handle import Handle, atlas
from tests.conftest import Cli

pytestmark = [pytest.mark.live, pytest.mark.mongodb]


@pytest.fixture(scope="module")
def ec2(aws: str) -> Any:
    names = {name.lower(): value for name, value in LOGIN.items()}
    return boto3.client("ec2", region_name=REGION, endpoint_url=aws, **names)


@pytest.fixture(scope="module")
def vpc(ec2: Any) -> dict[str, str]:
    made = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=made, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=made, CidrBlock="10.20.1.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=made)["RouteTable"]["RouteTableId"]
    return {"vpc": made, "subnet": subnet, "table": table}


@pytest.fixture(scope="module")
def fake(aws: str) -> Iterator[Handle]:
    with atlas(aws=aws) as found:
        yield found


@pytest.fixture(scope="module")
def stack(fake: Handle, aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    found = beside(fake, tmp_path_factory.mktemp("stack"))
    found.env |= {**LOGIN, "AWS_ENDPOINT_URL": aws}
    yield found
    found.run("destroy", "--yes", "chat")


def write(stack: Cli, fake: Handle, *ways: str) -> None:
    rest = "".join(f"      {way}\n" for way in ways)
    stack.write(
        f"name: chat\nmongodb:\n  target:\n    atlas:\n      url: {fake.url}\n"
        f"      region: {REGION}\n      protected: false\n{rest}"
        "apps:\n  shop: {mongodb: chatdb}\n"
    )


def link(vpc: dict[str, str]) -> str:
    return f"private_link: {{vpc: {vpc['vpc']}, subnets: [{vpc['subnet']}]}}"


def peering(vpc: dict[str, str], **more: str) -> str:
    keys = {"vpc": vpc["vpc"], "account": "'123456789012'", "vpc_cidr": "10.20.0.0/16"}
    keys |= {"route_tables": f"[{vpc['table']}]", **more}
    return f"peering: {{{', '.join(f'{key}: {value}' for key, value in keys.items())}}}"


def endpoints(ec2: Any) -> list[dict[str, Any]]:
    found = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    return [one for one in found if one["State"].lower() not in {"deleted", "deleting"}]


def test_networks_that_cannot_be_joined_are_refused_before_anything_is_asked(
    fake: Handle, stack: Cli, vpc: dict[str, str]
) -> None:
    write(stack, fake, peering(vpc, vpc_cidr="10.21.0.0/16"), link(vpc))
    done = stack.run("up", "--yes")
    assert done.returncode == 2
    assert "vpc_cidr: 10.20.0.0/16" in done.stderr
    assert fake.writes() == []


def test_both_ways_are_made_and_apps_take_the_private_one(
    fake: Handle, stack: Cli, ec2: Any, vpc: dict[str, str]
) -> None:
    write(stack, fake, link(vpc), peering(vpc))
    assert "private endpoint" in stack.ok("plan")
    stack.ok("up", "--yes")
    (made,) = endpoints(ec2)
    assert made["VpcId"] == vpc["vpc"]
    assert made["ServiceName"].startswith(f"com.amazonaws.vpce.{REGION}.vpce-svc-")
    (table,) = ec2.describe_route_tables(RouteTableIds=[vpc["table"]])["RouteTables"]
    assert any(one.get("DestinationCidrBlock") == "192.168.248.0/21" for one in table["Routes"])
    assert "pl-0" in stack.env_of("shop")["MONGO_HOST"]
    fake.requests()
    fake.disorder(1)
    assert stack.ok("plan").strip() == "nothing to change"
    asked = fake.requests()
    assert len(asked) <= 12, [one["operation"] for one in asked]
    stack.ok("up")
    assert fake.writes() == []
    assert len(endpoints(ec2)) == 1


def test_what_was_removed_by_hand_is_made_again(
    fake: Handle, stack: Cli, ec2: Any, vpc: dict[str, str]
) -> None:
    write(stack, fake, link(vpc), peering(vpc))
    (made,) = endpoints(ec2)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
    ec2.delete_route(RouteTableId=vpc["table"], DestinationCidrBlock="192.168.248.0/21")
    stack.ok("up", "--yes")
    assert len(endpoints(ec2)) == 1
    assert stack.ok("plan").strip() == "nothing to change"


def test_ways_that_left_the_file_go_when_they_are_named(
    fake: Handle, stack: Cli, ec2: Any, vpc: dict[str, str]
) -> None:
    write(stack, fake, "access: [203.0.113.1]")
    assert stack.run("up").returncode == 1
    assert len(endpoints(ec2)) == 1
    names = ("private endpoint AP_NORTHEAST_2", f"peering {vpc['vpc']}")
    stack.ok("up", *(word for name in names for word in ("--allow", name)))
    assert endpoints(ec2) == []
    (table,) = ec2.describe_route_tables(RouteTableIds=[vpc["table"]])["RouteTables"]
    assert all(one.get("DestinationCidrBlock") != "192.168.248.0/21" for one in table["Routes"])
    assert stack.ok("plan").strip() == "nothing to change"
    assert os.environ.get("AWS_ENDPOINT_URL") is None
