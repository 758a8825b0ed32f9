"""The tests' Atlas from an empty organisation to data that came back, as a client sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure

from tests.atlas.client import Client, cluster
from tests.atlas.handle import Handle, atlas

pytestmark = [pytest.mark.live, pytest.mark.mongodb]


@pytest.fixture(scope="module")
def fake() -> Iterator[Handle]:
    with atlas() as found:
        yield found


def _database(fake: Handle, where: str, password: str) -> pymongo.MongoClient[dict[str, Any]]:
    ca = str(fake.ca)
    return pymongo.MongoClient(where, tlsCAFile=ca, username="shop", password=password)


def test_from_nothing_to_a_restored_cluster(fake: Handle) -> None:
    api = Client(fake)
    project = api.ok("POST", "/groups", {"name": "shop", "orgId": fake.organization})
    group = f"/groups/{project['id']}"
    made = api.ok("POST", f"{group}/clusters", cluster("mng-mongo"))
    assert made["stateName"] == "CREATING"
    role = {"roleName": "mngdb-shop", "inheritedRoles": [{"db": "shop", "role": "readWrite"}]}
    api.ok("POST", f"{group}/customDBRoles/roles", role)
    held = [{"databaseName": "admin", "roleName": "mngdb-shop"}]
    user = {"databaseName": "admin", "username": "shop", "groupId": project["id"], "roles": held}
    shown = api.ok("POST", f"{group}/databaseUsers", {**user, "password": "first-of-two"})
    assert "password" not in shown
    ready = api.until(f"{group}/clusters/mng-mongo", stateName="IDLE")
    where = ready["connectionStrings"]["standard"]

    with _database(fake, where, "first-of-two") as client:
        client.shop.things.create_index("name", unique=True)
        client.shop.things.insert_many([{"name": n} for n in range(10)])
        with pytest.raises(OperationFailure):
            client.other.things.insert_one({})
        snapshot = api.ok(
            "POST", f"{group}/clusters/mng-mongo/backup/snapshots", {"retentionInDays": 1}
        )
        api.until(
            f"{group}/clusters/mng-mongo/backup/snapshots/{snapshot['id']}", status="completed"
        )
        client.shop.things.insert_one({"name": "later"})
        client.shop.things.update_one({"name": 3}, {"$set": {"seen": True}})
        moment = int(time.time())
        time.sleep(1.1)  # the API's moments are whole seconds
        client.shop.drop_collection("things")

    api.ok("POST", f"{group}/clusters", cluster("copy"))
    restored = api.until(f"{group}/clusters/copy", stateName="IDLE")
    where = restored["connectionStrings"]["standard"]
    with _database(fake, where, "first-of-two") as client:
        for asked, count in (
            ({"deliveryType": "automated", "snapshotId": snapshot["id"]}, 10),
            ({"deliveryType": "pointInTime", "pointInTimeUTCSeconds": moment}, 11),
        ):
            target = {"targetClusterName": "copy", "targetGroupId": project["id"]}
            jobs = f"{group}/clusters/mng-mongo/backup/restoreJobs"
            job = api.ok("POST", jobs, {**asked, **target})
            while "finishedAt" not in (found := api.ok("GET", f"{jobs}/{job['id']}")):
                time.sleep(0.01)
            assert not found["failed"]
            assert client.shop.things.count_documents({}) == count
            assert client.shop.things.index_information()["name_1"]["unique"]
        assert client.shop.things.find_one({"name": 3, "seen": True})

    api.ok("PATCH", f"{group}/databaseUsers/admin/shop", {**user, "password": "second-of-two"})
    fake.advance()
    with _database(fake, where, "first-of-two") as client, pytest.raises(OperationFailure):
        client.shop.things.find_one()
    with _database(fake, where, "second-of-two") as client:
        assert client.shop.things.find_one()
