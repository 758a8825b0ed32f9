"""The older names of MongoDB's metrics, and those of a replica set with several members."""

from __future__ import annotations

from datetime import datetime

from bson import Timestamp

from mngdb.engines.mongodb import metric_replica
from mngdb.engines.mongodb.metric_names import compatible
from mngdb.samples import Family, Sample

BASE = (("rs_nm", "rs0"),)


def _family(name: str, *samples: tuple[tuple[tuple[str, str], ...], float]) -> Family:
    return Family(name, "untyped", "", [Sample(name, *one) for one in samples])


def test_labels_are_called_as_they_were() -> None:
    queue = "mongodb_ss_globalLock_currentQueue"
    kept, state = (*BASE, ("count_type", "readers")), (*BASE, ("count_type", "total"))
    (found,) = compatible([_family(queue, (kept, 1.0), (state, 2.0))])
    assert found.name == "mongodb_mongod_global_lock_current_queue"
    assert [(one.labels, one.value) for one in found.samples] == [
        ((*BASE, ("type", "reader")), 1.0),
        ((*BASE, ("type", "total")), 2.0),
    ]


def test_several_metrics_become_one_with_a_label() -> None:
    found = compatible(
        [_family(f"mongodb_ss_mem_{word}", (BASE, 5.0)) for word in ("resident", "virtual")]
    )
    assert [one.name for one in found] == ["mongodb_memory"]
    assert {one.labels for one in found[0].samples} == {
        (("type", "resident"),),
        (("type", "virtual"),),
    }


def test_what_a_server_tells_twice_is_there_once() -> None:
    places = ("mongodb_ss_wt_txn_transaction_checkpoint", "mongodb_ss_wt_checkpoint")
    (found,) = compatible([_family(f"{one}_min_time_msecs", (BASE, 3.0)) for one in places])
    assert [one.labels for one in found.samples] == [(("type", "min"),)]


def test_a_metric_may_have_several_older_names() -> None:
    found = compatible([_family("mongodb_ss_uptime", (BASE, 9.0))])
    assert {one.name for one in found} == {
        "mongodb_instance_uptime_seconds",
        "mongodb_mongod_instance_uptime_seconds",
    }


def test_a_second_member_has_a_lag_and_a_ping() -> None:
    head = datetime(2026, 1, 1, 0, 0, 10)  # noqa: DTZ001 - as the driver gives it, in UTC
    primary = {"name": "a:27017", "stateStr": "PRIMARY", "self": True, "optimeDate": head,
               "electionTime": Timestamp(7, 1), "configVersion": 3}  # fmt: skip
    second = {"name": "b:27017", "stateStr": "SECONDARY", "pingMs": 4, "configVersion": 3,
              "optimeDate": head.replace(second=4), "lastHeartbeat": head}  # fmt: skip
    status = {"set": "rs0", "myState": 1, "members": [primary, second]}
    found = {
        (one.name.removeprefix("mongodb_mongod_replset_"), dict(one.labels).get("name")): one.value
        for family in metric_replica.of_set(status)
        for one in family.samples
    }
    assert found["number_of_members", None] == 2
    assert found["member_replication_lag", "b:27017"] == 6
    assert found["member_ping_ms", "b:27017"] == 4
    assert ("member_replication_lag", "a:27017") not in found
    assert found["member_election_date", "a:27017"] == 7
    # by UTC, whatever the time zone of this machine
    assert found["member_last_heartbeat", "b:27017"] == 1_767_225_610


def test_a_server_of_no_set_says_so() -> None:
    (state,) = metric_replica.of_set({})
    assert [(one.labels, one.value) for one in state.samples] == [((("set", ""),), 6.0)]
