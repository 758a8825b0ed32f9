"""Clients that run while the data of their MongoDB is exchanged."""

from __future__ import annotations

from typing import Any

import pymongo
import pytest

from tests.conftest import Cli
from tests.live.clients import url

pytestmark = pytest.mark.live


def test_a_running_driver_goes_on_after_a_restore_in_place_and_its_undo(cli: Cli) -> None:
    cli.write(
        "agent: false\nmongodb: {port: PORT1}\napps: {shop: {mongodb: shop}}\n"
        f"backup: {{store: {cli.folder / 'store'}}}\n"
    )
    cli.ok("up")
    client: Any = pymongo.MongoClient(
        url(cli, "mongodb", "shop"), serverSelectionTimeoutMS=15_000, heartbeatFrequencyMS=500
    )
    with client:
        client.shop.item.insert_one({"_id": "saved"})
        cli.ok("backup")
        client.shop.item.insert_one({"_id": "lost"})
        cli.ok("restart", "mongodb")  # each start is an election
        assert client.shop.item.count_documents({}) == 2
        found = cli.json("restore", "mongodb", "--latest", "--replace", "--yes")
        assert "change streams" in str(found["notes"])
        assert [one["_id"] for one in client.shop.item.find()] == ["saved"]
        client.shop.item.insert_one({"_id": "new"})
        before = client.admin.command("hello")
        said = cli.run("restore", "mongodb", "--undo", "--yes").stderr
        assert "change streams" in said
        assert client.shop.item.count_documents({"_id": "lost"}) == 1
        after = client.admin.command("hello")
    # what older drivers compare first
    assert after["setVersion"] >= before["setVersion"]
    assert after["electionId"] > before["electionId"]
