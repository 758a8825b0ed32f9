"""Whether what a MongoDB server acknowledged outlives a crash, and the loss of a server."""

from __future__ import annotations

from msgspec.structs import replace

from mngdb.checks.catalogue import Judge, checks
from mngdb.facts.mongodb import MongodbFacts, ReplicaSet
from mngdb.findings import Check, Judgement, judged, listed, not_applicable

_MB = 1 << 20
#: The guide's alert, in seconds.
_LAG = 10
#: The guide's point in time, in hours.
_WINDOW = 24
_FULL = 0.9
_NO_MAJORITY = "start the members named, or remove them; 'mngdb plan' has the command"
_STEPPED_DOWN = "mngdb shell INSTANCE 'db.adminCommand({replSetFreeze: 0})'"
_STANDALONE = "not in a replica set"


def _of_set(judge: Judge[ReplicaSet]) -> Judge[MongodbFacts]:
    """Judges the replica set, where the server is in one."""

    def judge_set(facts: MongodbFacts) -> Judgement:
        found = facts.replica.value
        return not_applicable(_STANDALONE) if found is None else judge(found)

    return judge_set


def _in_a_set(facts: MongodbFacts) -> Judgement:
    found = facts.replica.value
    return judged(found is not None, f"{len(found.members)} members" if found else _STANDALONE)


def _three(facts: MongodbFacts) -> Judgement:
    found = facts.replica.value
    if facts.managed:
        return not_applicable("mngdb runs single-member replica sets")
    if found is None:
        return not_applicable(_STANDALONE)
    data = [one.name for one in found.members if not one.arbiter]
    return judged(len(data) >= 3, f"{len(data)} members hold data")


def _healthy(found: ReplicaSet) -> Judgement:
    bad = [f"{one.name} is {one.state}" for one in found.members if not one.healthy]
    if any(one.state == "PRIMARY" for one in found.members):
        return listed(bad, "all members are healthy")
    return replace(listed([*bad, "no primary"], ""), remedy=_NO_MAJORITY if bad else _STEPPED_DOWN)


def _lag(facts: MongodbFacts) -> Judgement:
    found = facts.replica.value
    if found is None or len(found.members) == 1:
        return not_applicable("no secondaries")
    most = max(one.lag for one in found.members)
    late = [f"{one.name}: {one.lag:.0f} s" for one in found.members if one.lag > _LAG]
    return listed(late, f"at most {most:.0f} s")


def _arbiters(found: ReplicaSet) -> Judgement:
    arbiters = [one.name for one in found.members if one.arbiter]
    return listed(arbiters, "every member holds data")


def _majority_journaled(found: ReplicaSet) -> Judgement:
    text = "after journaling" if found.journaled else "before journaling"
    return judged(found.journaled, f"acknowledged {text}")


def _window(found: ReplicaSet) -> Judgement:
    log = found.oplog.value
    hours = log.window / 3600
    if log.used < _FULL * log.most:
        return judged(True, f"{log.used // _MB} of {log.most // _MB} MB used so far")
    return judged(hours >= _WINDOW, f"{hours:.1f} hours in {log.most // _MB} MB")


def _oplog_size(found: ReplicaSet) -> Judgement:
    most = found.oplog.value.most // _MB
    return judged(most >= 990, f"{most} MB")


def _internal(facts: MongodbFacts) -> Judgement:
    if facts.replica.value is None:
        return not_applicable(_STANDALONE)
    mode = str(facts.parameters.value.get("clusterAuthMode", "undefined"))
    return judged(mode in {"keyFile", "sendKeyFile", "sendX509", "x509"}, f"clusterAuthMode {mode}")


def _keeps(facts: MongodbFacts) -> Judgement:
    engine = facts.status.value["storageEngine"]
    return judged(bool(engine["persistent"]), f"storage engine {engine['name']}")


def _journal(facts: MongodbFacts) -> Judgement:
    log = facts.status.value.get("wiredTiger", {}).get("log", {})
    size = int(log.get("maximum log file size", 0))
    return judged(size > 0, "the journal is enabled" if size else "the journal is disabled")


def _checkpoints(facts: MongodbFacts) -> Judgement:
    found = float(facts.parameters.value.get("syncdelay", 60))
    return judged(0 < found <= 60, f"syncdelay {found:g} s" if found else "syncdelay 0: never")


def _commits(facts: MongodbFacts) -> Judgement:
    found = int(facts.parameters.value.get("journalCommitInterval", 100))
    return judged(found <= 100, f"journalCommitInterval {found} ms")


CHECKS: tuple[Check[MongodbFacts], ...] = checks(
    __file__,
    {
        "mongodb.replica-set": _in_a_set,
        "mongodb.members": _three,
        "mongodb.members-healthy": _of_set(_healthy),
        "mongodb.replication-lag": _lag,
        "mongodb.arbiters": _of_set(_arbiters),
        "mongodb.write-concern": _of_set(
            lambda found: judged(found.write_concern == "majority", f"w: {found.write_concern}")
        ),
        "mongodb.write-journaled": _of_set(_majority_journaled),
        "mongodb.oplog-window": _of_set(_window),
        "mongodb.oplog-size": _of_set(_oplog_size),
        "mongodb.internal-login": _internal,
        "mongodb.storage-engine": _keeps,
        "mongodb.journal": _journal,
        "mongodb.checkpoints": _checkpoints,
        "mongodb.journal-interval": _commits,
    },
)
