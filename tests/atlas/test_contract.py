"""The tests' Atlas speaks as Atlas' specification says: every operation, requests and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.atlas import specification
from tests.atlas.client import Client, cluster
from tests.atlas.contract import Contract
from tests.atlas.errors import MEDIA_TYPE
from tests.atlas.handle import Handle, atlas

GROUP = "/api/atlas/v2/groups/" + "a" * 24
CIDR = "203.0.113.0/24"


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract()


@pytest.fixture(scope="module")
def fake() -> Iterator[Handle]:
    with atlas(speed=0) as found:
        yield found


def test_our_description_is_what_the_specification_says() -> None:
    given = specification.given()
    if given is not None:  # it is not ours to publish, so it is not everywhere
        written = specification.text(specification.contract(given))
        assert written == specification.WRITTEN.read_text(), (
            "run .venv/bin/python -m tests.atlas.specification"
        )


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("POST", "accessList", [{"ipAddress": "203.0.113.1"}], ""),
        ("POST", "accessList", [{"ipAddress": 5}], "0/ipAddress"),
        ("POST", "accessList", {"ipAddress": "203.0.113.1"}, "array"),
        ("POST", "accessList", [{"ip": "203.0.113.1"}], "'ip' was unexpected"),
        ("POST", "databaseUsers", {"username": "shop"}, "'databaseName' is a required property"),
        ("POST", "clusters", cluster("mng", stateName="IDLE"), "stateName"),
        ("POST", "clusters", cluster("mng", clusterType="BIG"), "clusterType"),
        ("GET", "clusters?page=2", None, "page"),
    ],
)
def test_a_request_that_is_wrong_is_seen(
    contract: Contract, method: str, path: str, body: Any, reason: str
) -> None:
    path, _, query = f"{GROUP}/{path}".partition("?")
    operation = contract.operation(method, path)
    assert operation is not None
    sent = b"" if body is None else json.dumps(body).encode()
    found = contract.request(operation, method, path, query, sent, MEDIA_TYPE if sent else "")
    assert reason in found
    assert bool(found) == bool(reason)


def test_an_answer_that_is_wrong_is_seen(contract: Contract) -> None:
    operation = contract.operation("GET", f"{GROUP}/clusters/mng")
    assert operation is not None
    for document, reason in (
        ({"stateName": "IDLE"}, ""),
        ({"stateName": "DONE"}, "DONE"),
        ({"state": "IDLE"}, "'state' was unexpected"),
    ):
        body = json.dumps(document).encode()
        found = contract.answer(operation, "GET", f"{GROUP}/clusters/mng", 200, body, MEDIA_TYPE)
        assert reason in found
        assert bool(found) == bool(reason)


@pytest.mark.live
@pytest.mark.mongodb
def test_every_operation_is_used_and_valid(
    fake: Handle, contract: Contract, capsys: pytest.CaptureFixture[str]
) -> None:
    api = Client(fake)
    _account(api, fake)
    project = api.ok("POST", "/groups", {"name": "all", "orgId": fake.organization})["id"]
    _project(api, project)
    for walk in (_users, _network, _alerts, _clusters):
        walk(api, fake, project)
    api.ok("DELETE", f"/groups/{project}")
    used = {one["operation"] for one in fake.requests(0)} - {"token"}
    assert sorted(contract.operations.keys() - used) == []
    assert {one["status"] for one in fake.requests(0)} <= {200, 201, 202, 204}
    with capsys.disabled():
        print(f"\n{len(used)} of Atlas' operations, all valid: requests and answers")


def _account(api: Client, fake: Handle) -> None:
    assert api.ok("GET", "/orgs")["results"][0]["id"] == fake.organization
    account = f"/orgs/{fake.organization}/serviceAccounts/{fake.account[0]}"
    made = api.ok("POST", f"{account}/secrets", {"secretExpiresAfterHours": 24})
    assert len(api.ok("GET", account)["secrets"]) == 2
    api.ok("DELETE", f"{account}/secrets/{made['id']}")


def _project(api: Client, project: str) -> None:
    assert api.ok("GET", "/groups")["totalCount"] == 1
    assert api.ok("GET", "/groups/byName/all")["id"] == project
    tags = [{"key": "mngdb-stack", "value": "mng/1"}]
    assert api.ok("PATCH", f"/groups/{project}", {"tags": tags})["tags"] == tags
    assert api.ok("GET", f"/groups/{project}")["clusterCount"] == 0


def _users(api: Client, fake: Handle, project: str) -> None:
    roles, users = f"/groups/{project}/customDBRoles/roles", f"/groups/{project}/databaseUsers"
    inherited: dict[str, Any] = {"inheritedRoles": [{"db": "shop", "role": "readWrite"}]}
    api.ok("POST", roles, {"roleName": "mngdb-shop", **inherited})
    where = {"db": "shop", "collection": "", "cluster": False}
    find = {"action": "FIND", "resources": [where]}
    api.ok("PATCH", f"{roles}/mngdb-shop", {"actions": [find], **inherited})
    assert api.ok("GET", roles) == [api.ok("GET", f"{roles}/mngdb-shop")]
    user: dict[str, Any] = {"databaseName": "admin", "username": "shop", "groupId": project}
    user |= {"roles": [{"databaseName": "admin", "roleName": "mngdb-shop"}]}
    api.ok("POST", users, {**user, "password": "first-of-two"})
    api.ok("PATCH", f"{users}/admin/shop", {**user, "description": "of mngdb"})
    assert api.ok("GET", users)["results"] == [api.ok("GET", f"{users}/admin/shop")]
    api.ok("DELETE", f"{users}/admin/shop")
    api.ok("DELETE", f"{roles}/mngdb-shop")


def _network(api: Client, fake: Handle, project: str) -> None:
    access = f"/groups/{project}/accessList"
    entries = [{"cidrBlock": CIDR, "comment": "office"}, {"ipAddress": "203.0.113.1"}]
    assert api.ok("POST", access, entries)["totalCount"] == 2
    one = f"{access}/{CIDR.replace('/', '%2F')}"
    assert api.ok("GET", one) in api.ok("GET", access)["results"]
    assert api.ok("GET", f"{one}/status") == {"STATUS": "ACTIVE"}
    api.ok("DELETE", one)

    containers, peers = f"/groups/{project}/containers", f"/groups/{project}/peers"
    asked = {"providerName": "AWS", "regionName": "EU_WEST_1", "atlasCidrBlock": "10.8.0.0/21"}
    container = api.ok("POST", containers, asked)["id"]
    api.ok("PATCH", f"{containers}/{container}", {**asked, "atlasCidrBlock": "10.9.0.0/21"})
    for path in (f"{containers}/all", f"{containers}?providerName=AWS"):
        assert api.ok("GET", path)["totalCount"] == 1
    peer = {"providerName": "AWS", "containerId": container, "accepterRegionName": "eu-west-1"}
    peer |= {"awsAccountId": "1" * 12, "vpcId": "vpc-" + "0" * 17}
    made = api.ok("POST", peers, {**peer, "routeTableCidrBlock": "10.0.0.0/16"})
    api.until(f"{peers}/{made['id']}", statusName="PENDING_ACCEPTANCE")
    api.ok("PATCH", f"{peers}/{made['id']}", {**peer, "routeTableCidrBlock": "10.1.0.0/16"})
    assert api.ok("GET", f"{containers}/{container}")["provisioned"]
    api.ok("DELETE", f"{peers}/{made['id']}")
    assert api.ok("GET", peers)["totalCount"] == 0
    api.ok("DELETE", f"{containers}/{container}")

    link = f"/groups/{project}/privateEndpoint"
    assert not api.ok("GET", f"{link}/regionalMode")["enabled"]
    assert api.ok("PATCH", f"{link}/regionalMode", {"enabled": True})["enabled"]
    service = api.ok(
        "POST", f"{link}/endpointService", {"providerName": "AWS", "region": "EU_WEST_1"}
    )
    one = f"{link}/AWS/endpointService/{service['id']}"
    api.until(one, status="AVAILABLE")
    changed = {"cloudProvider": "AWS", "supportedRemoteRegions": ["US_EAST_1"]}
    api.ok("PATCH", f"{link}/endpointService/{service['id']}", changed)
    endpoint = "vpce-" + "0" * 17
    api.ok("POST", f"{one}/endpoint", {"id": endpoint})
    api.until(f"{one}/endpoint/{endpoint}", connectionStatus="AVAILABLE")
    assert api.ok("GET", f"{link}/AWS/endpointService")[0]["interfaceEndpoints"] == [endpoint]
    api.ok("DELETE", f"{one}/endpoint/{endpoint}")
    api.ok("DELETE", one)


def _alerts(api: Client, fake: Handle, project: str) -> None:
    configs = f"/groups/{project}/alertConfigs"
    threshold = {"metricName": "CONNECTIONS_PERCENT", "operator": "GREATER_THAN", "mode": "AVERAGE"}
    asked = {
        "eventTypeName": "OUTSIDE_METRIC_THRESHOLD",
        "enabled": True,
        "metricThreshold": {**threshold, "threshold": 80, "units": "RAW"},
        "matchers": [{"fieldName": "REPLICA_SET_NAME", "operator": "EQUALS", "value": "mng"}],
        "notifications": [{"typeName": "EMAIL", "emailAddress": "ops@example.com"}],
    }
    made = api.ok("POST", configs, asked)["id"]
    slack = {"typeName": "SLACK", "channelName": "ops", "apiToken": "xoxb-secret"}
    shown = api.ok("PUT", f"{configs}/{made}", {**asked, "notifications": [slack]})
    assert shown["notifications"][0]["apiToken"] == "****cret"
    api.ok("PATCH", f"{configs}/{made}", {"enabled": False})
    assert api.ok("GET", f"{configs}/{made}") in api.ok("GET", configs)["results"]
    alert = fake.do("raise", project=project, config=made, more={})["id"]
    alerts = f"/groups/{project}/alerts"
    assert api.ok("GET", f"{alerts}?status=OPEN")["results"] == [api.ok("GET", f"{alerts}/{alert}")]
    api.ok("PATCH", f"{alerts}/{alert}", {"acknowledgementComment": "seen"})
    assert api.ok("GET", f"{alerts}/{alert}/alertConfigs")["results"][0]["id"] == made
    assert api.ok("GET", f"{configs}/{made}/alerts")["totalCount"] == 1
    api.ok("DELETE", f"{configs}/{made}")


def _clusters(api: Client, fake: Handle, project: str) -> None:
    clusters = f"/groups/{project}/clusters"
    api.ok("POST", clusters, cluster("mng"))
    one = f"{clusters}/mng"
    api.until(one, stateName="IDLE")
    api.ok("PATCH", one, {"tags": [{"key": "mngdb-stack", "value": "mng/1"}]})
    api.until(one, stateName="IDLE")
    assert api.ok("GET", clusters)["totalCount"] == 1
    api.ok("PATCH", f"{one}/processArgs", {"minimumEnabledTlsProtocol": "TLS1_3"})
    assert api.ok("GET", f"{one}/processArgs")["minimumEnabledTlsProtocol"] == "TLS1_3"

    schedule = api.ok("GET", f"{one}/backup/schedule")
    policies = [{"policyItems": schedule["policies"][0]["policyItems"][1:2]}]
    policies[0]["policyItems"][0].pop("id")
    api.ok("PATCH", f"{one}/backup/schedule", {"referenceHourOfDay": 3, "policies": policies})
    snapshot = api.ok("POST", f"{one}/backup/snapshots", {"description": "by hand"})["id"]
    api.until(f"{one}/backup/snapshots/{snapshot}", status="completed")
    longer = {"retentionUnit": "WEEKS", "retentionValue": 2}
    api.ok("PATCH", f"{one}/backup/snapshots/{snapshot}", longer)
    target = {"targetClusterName": "mng", "targetGroupId": project, "snapshotId": snapshot}
    job = api.ok("POST", f"{one}/backup/restoreJobs", {"deliveryType": "automated", **target})["id"]
    assert api.ok("GET", f"{one}/backup/restoreJobs")["totalCount"] == 1
    api.until(f"{one}/backup/restoreJobs/{job}", failed=False)
    api.ok("DELETE", f"{one}/backup/restoreJobs/{job}")
    assert api.ok("GET", f"{one}/backup/snapshots")["totalCount"] == 1
    api.ok("DELETE", f"{one}/backup/snapshots/{snapshot}")
    api.ok("DELETE", f"{one}/backup/schedule")

    fake.do("measure", CONNECTIONS=12)
    process = api.ok("GET", f"/groups/{project}/processes")["results"][0]["id"]
    at = f"/groups/{project}/processes/{process}"
    measured = api.ok("GET", f"{at}/measurements?granularity=PT1M&period=PT1M&m=CONNECTIONS")
    assert measured["measurements"][0]["dataPoints"][0]["value"] == 12
    for advice in ("namespaces", "slowQueryLogs?nLogs=10", "suggestedIndexes"):
        api.ok("GET", f"{at}/performanceAdvisor/{advice}")
    for advice in ("suggestedIndexes", "dropIndexSuggestions", "schemaAdvice"):
        api.ok("GET", f"{one}/performanceAdvisor/{advice}")
    api.ok("DELETE", one)
    while api.ok("GET", clusters)["results"]:
        pass
