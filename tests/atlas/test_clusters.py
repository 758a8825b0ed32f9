"""The tests' Atlas from an empty organisation to restored data, and the states of its clusters."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure

from tests.atlas.client import Client, cluster
from tests.atlas.handle import Handle

Database = pymongo.MongoClient[dict[str, Any]]
pytestmark = [pytest.mark.live, pytest.mark.mongodb]


@pytest.fixture(scope="module")
def api(fake: Handle) -> Client:
    return Client(fake)


@pytest.fixture(scope="module")
def group(fake: Handle, api: Client) -> str:
    """The path of a project with an administrator and an app."""
    made = f"/groups/{api.ok('POST', '/groups', {'name': 'all', 'orgId': fake.organization})['id']}"
    role = {"roleName": "mngdb-shop", "inheritedRoles": [{"db": "shop", "role": "readWrite"}]}
    api.ok("POST", f"{made}/customDBRoles/roles", role)
    for name, role_name in (("boss", "atlasAdmin"), ("shop", "mngdb-shop")):
        shown = api.ok("POST", f"{made}/databaseUsers", _user(made, name, role_name, "1"))
        assert "password" not in shown
    return made


@pytest.fixture(scope="module")
def one(api: Client, group: str) -> str:
    """The path of an idle cluster."""
    made = cluster("mng", terminationProtectionEnabled=True)
    assert api.ok("POST", f"{group}/clusters", made)["stateName"] == "CREATING"
    api.until(f"{group}/clusters/mng", stateName="IDLE")
    return f"{group}/clusters/mng"


@pytest.fixture(scope="module")
def boss(fake: Handle, api: Client, one: str) -> Iterator[Database]:
    """Who may do everything there."""
    with _login(fake, api, one, "boss", "1") as found:
        yield found


def _user(group: str, name: str, role: str, number: str) -> dict[str, Any]:
    user = {"databaseName": "admin", "username": name, "groupId": group[8:]}
    roles = [{"databaseName": "admin", "roleName": role}]
    return {**user, "roles": roles, "password": f"password-{number}"}


def _login(fake: Handle, api: Client, path: str, name: str, number: str) -> Database:
    where, ca = api.ok("GET", path)["connectionStrings"]["standard"], str(fake.ca)
    return pymongo.MongoClient(where, tlsCAFile=ca, username=name, password=f"password-{number}")


def test_from_nothing_to_a_restored_cluster(
    fake: Handle, api: Client, group: str, one: str
) -> None:
    with _login(fake, api, one, "shop", "1") as client:
        client.shop.things.create_index("name", unique=True)
        client.shop.things.insert_many([{"name": n} for n in range(10)])
        with pytest.raises(OperationFailure):
            client.other.things.insert_one({})
        snapshot = api.ok("POST", f"{one}/backup/snapshots", {"retentionInDays": 1})["id"]
        api.until(f"{one}/backup/snapshots/{snapshot}", status="completed")
        client.shop.things.insert_one({"name": "later"})
        client.shop.things.update_one({"name": 3}, {"$set": {"seen": True}})
        moment = int(time.time())
        time.sleep(1.1)  # the API's moments are whole seconds
        client.shop.drop_collection("things")

    api.ok("POST", f"{group}/clusters", cluster("copy"))
    api.until(f"{group}/clusters/copy", stateName="IDLE")
    with _login(fake, api, f"{group}/clusters/copy", "shop", "1") as client:
        for asked, count in (
            ({"deliveryType": "automated", "snapshotId": snapshot}, 10),
            ({"deliveryType": "pointInTime", "pointInTimeUTCSeconds": moment}, 11),
        ):
            target = {"targetClusterName": "copy", "targetGroupId": group[8:]}
            job = api.ok("POST", f"{one}/backup/restoreJobs", {**asked, **target})["id"]
            while "finishedAt" not in (found := api.ok("GET", f"{one}/backup/restoreJobs/{job}")):
                time.sleep(0.05)
            assert not found["failed"]
            assert client.shop.things.count_documents({}) == count
            assert client.shop.things.index_information()["name_1"]["unique"]
        assert client.shop.things.find_one({"name": 3, "seen": True})

    changed = _user(group, "shop", "mngdb-shop", "2")
    api.ok("PATCH", f"{group}/databaseUsers/admin/shop", changed)
    fake.advance()
    with _login(fake, api, one, "shop", "1") as client, pytest.raises(OperationFailure):
        client.shop.things.find_one()
    with _login(fake, api, one, "shop", "2") as client:
        client.shop.things.insert_one({"name": "kept"})


def test_what_is_protected_stays(api: Client, one: str) -> None:
    code = "CANNOT_TERMINATE_CLUSTER_WHEN_TERMINATION_PROTECTION_ENABLED"
    assert api.refused("DELETE", one) == (400, code)
    again = api.refused("POST", one.rpartition("/")[0], cluster("mng"))
    assert again == (400, "DUPLICATE_CLUSTER_NAME")


def test_a_paused_cluster_has_its_data_and_nothing_else(
    api: Client, one: str, boss: Database
) -> None:
    boss.shop.things.insert_one({"name": "before"})
    server = boss.address
    assert server is not None
    assert api.ok("PATCH", one, {"paused": True})["stateName"] == "UPDATING"
    api.until(one, stateName="IDLE")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server)
    assert api.refused("PATCH", one, {"tags": []}) == (409, "CANNOT_UPDATE_PAUSED_CLUSTER")
    assert api.refused("POST", f"{one}/backup/snapshots", {})[0] == 400
    api.ok("PATCH", one, {"paused": False})
    api.until(one, stateName="IDLE")
    assert boss.shop.things.find_one({"name": "before"})


def test_the_advisor_reads_the_servers_log(api: Client, one: str, boss: Database) -> None:
    boss.admin.command("profile", 0, slowms=0)
    boss.shop.things.find_one({"colour": "red"})
    boss.admin.command("profile", 0, slowms=100)
    boss.shop.things.create_index("unused")
    advice = f"{one}/performanceAdvisor"
    found = api.ok("GET", f"{advice}/suggestedIndexes")["content"]["suggestedIndexes"]
    assert [(each["namespace"], each["index"]) for each in found] == [
        ("shop.things", [{"colour": 1}])
    ]
    dropped = api.ok("GET", f"{advice}/dropIndexSuggestions")["content"]["unusedIndexes"]
    assert [each["name"] for each in dropped] == ["unused_1"]


def test_a_private_endpoint_gives_a_cluster_another_way(api: Client, group: str, one: str) -> None:
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


def test_a_cluster_goes_in_its_time(fake: Handle, api: Client, one: str, boss: Database) -> None:
    boss.close()  # later it would wait half a minute for the server, to end its sessions
    fake.speed(cluster=3600)
    api.ok("PATCH", one, {"terminationProtectionEnabled": False})
    assert api.ok("GET", one)["stateName"] == "UPDATING"
    api.ok("DELETE", one)
    assert api.ok("GET", one)["stateName"] == "DELETING"
    assert api.refused("DELETE", one) == (409, "CLUSTER_ALREADY_REQUESTED_DELETION")
    fake.advance()
    end = time.monotonic() + 60
    while api.send("GET", one).status_code == 200:
        assert time.monotonic() < end
        time.sleep(0.05)
