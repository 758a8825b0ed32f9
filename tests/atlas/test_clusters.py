"""Clusters of the tests' Atlas: their states, and what its advisor says of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from pymongo.errors import PyMongoError

from tests.atlas.client import Client, cluster
from tests.atlas.handle import Handle, atlas

Database = pymongo.MongoClient[dict[str, Any]]
pytestmark = [pytest.mark.live, pytest.mark.mongodb]


@pytest.fixture(scope="module")
def fake() -> Iterator[Handle]:
    with atlas() as found:
        yield found


@pytest.fixture(scope="module")
def api(fake: Handle) -> Client:
    return Client(fake)


@pytest.fixture(scope="module")
def one(fake: Handle, api: Client) -> str:
    """The path of an idle cluster with a user who may do everything."""
    project = api.ok("POST", "/groups", {"name": "clusters", "orgId": fake.organization})["id"]
    user = {"databaseName": "admin", "username": "boss", "groupId": project}
    roles = [{"databaseName": "admin", "roleName": "atlasAdmin"}]
    asked = {**user, "roles": roles, "password": "of-the-boss"}
    api.ok("POST", f"/groups/{project}/databaseUsers", asked)
    made = cluster("mng", terminationProtectionEnabled=True)
    api.ok("POST", f"/groups/{project}/clusters", made)
    api.until(f"/groups/{project}/clusters/mng", stateName="IDLE")
    return f"/groups/{project}/clusters/mng"


@pytest.fixture(scope="module")
def client(fake: Handle, api: Client, one: str) -> Iterator[Database]:
    where = api.ok("GET", one)["connectionStrings"]["standard"] + "&serverSelectionTimeoutMS=500"
    ca, password = str(fake.ca), "of-the-boss"
    found: Database
    with pymongo.MongoClient(where, tlsCAFile=ca, username="boss", password=password) as found:
        yield found


def test_what_is_protected_stays(api: Client, one: str) -> None:
    code = "CANNOT_TERMINATE_CLUSTER_WHEN_TERMINATION_PROTECTION_ENABLED"
    assert api.refused("DELETE", one) == (400, code)
    assert (
        api.refused("POST", one.rpartition("/")[0], cluster("mng"))[1] == "DUPLICATE_CLUSTER_NAME"
    )


def test_a_paused_cluster_has_its_data_and_nothing_else(
    api: Client, one: str, client: Database
) -> None:
    client.shop.things.insert_one({"name": "kept"})
    assert api.ok("PATCH", one, {"paused": True})["stateName"] == "UPDATING"
    api.until(one, stateName="IDLE")
    with pytest.raises(PyMongoError):
        client.shop.things.find_one()
    assert api.refused("PATCH", one, {"tags": []}) == (409, "CANNOT_UPDATE_PAUSED_CLUSTER")
    assert api.refused("POST", f"{one}/backup/snapshots", {})[0] == 400
    api.ok("PATCH", one, {"paused": False})
    api.until(one, stateName="IDLE")
    assert client.shop.things.find_one({"name": "kept"})


def test_the_advisor_reads_the_servers_log(api: Client, one: str, client: Database) -> None:
    client.admin.command("profile", 0, slowms=0)
    client.shop.things.find_one({"colour": "red"})
    client.admin.command("profile", 0, slowms=100)
    client.shop.things.create_index("unused")
    advice = f"{one}/performanceAdvisor"
    found = api.ok("GET", f"{advice}/suggestedIndexes")["content"]["suggestedIndexes"]
    assert [(each["namespace"], each["index"]) for each in found] == [
        ("shop.things", [{"colour": 1}])
    ]
    dropped = api.ok("GET", f"{advice}/dropIndexSuggestions")["content"]["unusedIndexes"]
    assert [each["name"] for each in dropped] == ["unused_1"]


def test_a_private_endpoint_gives_a_cluster_another_way(
    fake: Handle, api: Client, one: str
) -> None:
    group = one.partition("/clusters")[0]
    link = f"{group}/privateEndpoint"
    asked = {"providerName": "AWS", "region": "AP_NORTHEAST_2"}
    service = api.ok("POST", f"{link}/endpointService", asked)["id"]
    at = f"{link}/AWS/endpointService/{service}"
    api.until(at, status="AVAILABLE")
    endpoint = "vpce-" + "2" * 17
    api.ok("POST", f"{at}/endpoint", {"id": endpoint})
    api.until(f"{at}/endpoint/{endpoint}", connectionStatus="AVAILABLE")
    ways = api.ok("GET", one)["connectionStrings"]["privateEndpoint"]
    assert [way["endpoints"][0]["endpointId"] for way in ways] == [endpoint]
    api.ok("DELETE", f"{at}/endpoint/{endpoint}")
    assert "privateEndpoint" not in api.ok("GET", one)["connectionStrings"]


def test_a_cluster_goes_in_its_time(fake: Handle, api: Client, one: str) -> None:
    fake.speed(cluster=3600)
    api.ok("PATCH", one, {"terminationProtectionEnabled": False})
    assert api.ok("GET", one)["stateName"] == "UPDATING"
    api.ok("DELETE", one)
    assert api.ok("GET", one)["stateName"] == "DELETING"
    assert api.refused("DELETE", one) == (409, "CLUSTER_ALREADY_REQUESTED_DELETION")
    fake.speed(cluster=0)
    fake.advance()
    while api.send("GET", one).status_code == 200:
        pass
