"""Whether what a MongoDB server acknowledged outlives a crash, and the loss of a server."""

from __future__ import annotations

from mngdb.facts.mongodb import MongodbFacts, ReplicaSet
from mngdb.findings import Check, Judgement, judged, listed, no_matter

_MB = 1 << 20
#: The guide's alert, in seconds.
_LAG = 10
#: The guide's point in time, in hours.
_WINDOW = 24
_FULL = 0.9
_STANDALONE = "it is in no replica set"


def _set(facts: MongodbFacts) -> ReplicaSet | None:
    return facts.replica.value


def _in_a_set(facts: MongodbFacts) -> Judgement:
    found = _set(facts)
    return judged(found is not None, f"{len(found.members)} members" if found else _STANDALONE)


def _three(facts: MongodbFacts) -> Judgement:
    found = _set(facts)
    if facts.managed:
        return no_matter("mngdb runs sets of one")
    if found is None:
        return no_matter(_STANDALONE)
    data = [one.name for one in found.members if not one.arbiter]
    return judged(len(data) >= 3, f"{len(data)} members hold the data")


def _healthy(facts: MongodbFacts) -> Judgement:
    found = _set(facts)
    if found is None:
        return no_matter(_STANDALONE)
    bad = [f"{one.name} is {one.state}" for one in found.members if not one.healthy]
    if not any(one.state == "PRIMARY" for one in found.members):
        bad.append("there is no primary")
    return listed(bad, "all members are well")


def _lag(facts: MongodbFacts) -> Judgement:
    found = _set(facts)
    if found is None or len(found.members) == 1:
        return no_matter("it has no secondaries")
    most = max(one.lag for one in found.members)
    late = [f"{one.name}: {one.lag:.0f} s" for one in found.members if one.lag > _LAG]
    return listed(late, f"at most {most:.0f} s")


def _arbiters(facts: MongodbFacts) -> Judgement:
    found = _set(facts)
    if found is None:
        return no_matter(_STANDALONE)
    arbiters = [one.name for one in found.members if one.arbiter]
    return listed(arbiters, "every member holds the data")


def _majority(facts: MongodbFacts) -> Judgement:
    found = _set(facts)
    if found is None:
        return no_matter(_STANDALONE)
    return judged(found.write_concern == "majority", f"w: {found.write_concern}")


def _majority_journaled(facts: MongodbFacts) -> Judgement:
    found = _set(facts)
    if found is None:
        return no_matter(_STANDALONE)
    text = "in the journals" if found.journaled else "in memory only"
    return judged(found.journaled, f"a majority has it {text}")


def _window(facts: MongodbFacts) -> Judgement:
    found = _set(facts)
    if found is None:
        return no_matter(_STANDALONE)
    log = found.oplog.value
    hours = log.window / 3600
    if log.used < _FULL * log.most:
        return judged(True, f"{log.used // _MB} of {log.most // _MB} MB are used so far")
    return judged(hours >= _WINDOW, f"{hours:.1f} hours in {log.most // _MB} MB")


def _oplog_size(facts: MongodbFacts) -> Judgement:
    found = _set(facts)
    if found is None:
        return no_matter(_STANDALONE)
    most = found.oplog.value.most // _MB
    return judged(most >= 990, f"{most} MB")


def _internal(facts: MongodbFacts) -> Judgement:
    if _set(facts) is None:
        return no_matter(_STANDALONE)
    mode = str(facts.parameters.value.get("clusterAuthMode", "undefined"))
    return judged(mode in {"keyFile", "sendKeyFile", "sendX509", "x509"}, f"clusterAuthMode {mode}")


def _keeps(facts: MongodbFacts) -> Judgement:
    engine = facts.status.value["storageEngine"]
    return judged(bool(engine["persistent"]), f"storage engine {engine['name']}")


def _journal(facts: MongodbFacts) -> Judgement:
    log = facts.status.value.get("wiredTiger", {}).get("log", {})
    size = int(log.get("maximum log file size", 0))
    return judged(size > 0, "the journal is on" if size else "there is no journal")


def _checkpoints(facts: MongodbFacts) -> Judgement:
    found = float(facts.parameters.value.get("syncdelay", 60))
    return judged(0 < found <= 60, f"syncdelay {found:g} s" if found else "syncdelay 0: never")


def _commits(facts: MongodbFacts) -> Judgement:
    found = int(facts.parameters.value.get("journalCommitInterval", 100))
    return judged(found <= 100, f"journalCommitInterval {found} ms")


def _never_restored(_: MongodbFacts) -> Judgement:
    # nothing records a restore yet: until backups are mngdb's, none is proved
    return judged(False, "no backup was ever restored")


_SET = "mongodb.com: replica set deployment"

CHECKS: tuple[Check[MongodbFacts], ...] = (
    Check(
        "mongodb.replica-set",
        "it is a member of a replica set",
        "high",
        _in_a_set,
        "a set, be it of one: only then there is an oplog, and with it points in time",
        "'mngdb up' makes one; elsewhere: replication.replSetName, then rs.initiate()",
        ("B1", "guide: MongoDB 1", _SET, "mongodb.com: operations checklist"),
    ),
    Check(
        "mongodb.members",
        "three members hold the data",
        "medium",
        _three,
        "three or more",
        "rs.add('HOST:PORT') on the primary",
        ("B1", "guide: MongoDB 1", _SET),
    ),
    Check(
        "mongodb.members-healthy",
        "every member is up, and one is primary",
        "critical",
        _healthy,
        "PRIMARY and SECONDARY",
        "the log of the member that is named; rs.status() on the primary",
        ("B11", _SET),
    ),
    Check(
        "mongodb.replication-lag",
        "the secondaries keep up",
        "high",
        _lag,
        f"at most {_LAG} seconds behind",
        "the secondary's disk and network; rs.printSecondaryReplicationInfo()",
        ("B11", "guide: MongoDB 6", "mongodb.com: replication lag"),
    ),
    Check(
        "mongodb.arbiters",
        "no member votes without holding the data",
        "medium",
        _arbiters,
        "no arbiter: with one, losing a member loses the majority for writes",
        "rs.remove('HOST:PORT'), and a member with data instead",
        ("mongodb.com: replica set arbiter",),
    ),
    Check(
        "mongodb.write-concern",
        "writes wait for the majority by default",
        "high",
        _majority,
        "w: majority",
        "db.adminCommand({setDefaultRWConcern: 1, defaultWriteConcern: {w: 'majority'}})",
        ("B6", "guide: MongoDB 3", "mongodb.com: write concern"),
    ),
    Check(
        "mongodb.write-journaled",
        "the majority has a write in its journals",
        "high",
        _majority_journaled,
        "writeConcernMajorityJournalDefault true",
        "rs.reconfig() with writeConcernMajorityJournalDefault: true",
        ("mongodb.com: replica set configuration",),
    ),
    Check(
        "mongodb.oplog-window",
        "the oplog reaches a day back",
        "high",
        _window,
        f"{_WINDOW} hours or more, once it is full",
        "mongodb: {oplog: …}, then 'mngdb up'; elsewhere: replSetResizeOplog",
        ("B7", "guide: MongoDB 4", "mongodb.com: replica set oplog"),
    ),
    Check(
        "mongodb.oplog-size",
        "the oplog is not smaller than the least of MongoDB's own choice",
        "medium",
        _oplog_size,
        "990 MB or more",
        "mongodb: {oplog: 990}, then 'mngdb up'; elsewhere: replSetResizeOplog",
        ("B7", "mongodb.com: replica set oplog"),
    ),
    Check(
        "mongodb.internal-login",
        "members of the set prove themselves to each other",
        "critical",
        _internal,
        "a key file or certificates",
        "'mngdb up'; elsewhere: security.keyFile in mongod.conf of every member",
        ("B5", "mongodb.com: internal authentication", "CIS MongoDB 7 v1.2.0: 2.3"),
    ),
    Check(
        "mongodb.storage-engine",
        "data is kept on a disk",
        "critical",
        _keeps,
        "wiredTiger",
        "storage.engine: wiredTiger in mongod.conf, in an empty data folder",
        ("mongodb.com: storage engines",),
    ),
    Check(
        "mongodb.journal",
        "a crash loses nothing that was acknowledged",
        "critical",
        _journal,
        "the journal is on",
        "storage.journal.enabled: true in mongod.conf (or without the line)",
        ("mongodb.com: journaling", "mongodb.com: production notes"),
    ),
    Check(
        "mongodb.checkpoints",
        "checkpoints are written every minute",
        "high",
        _checkpoints,
        "syncdelay above 0 and at most 60",
        "db.adminCommand({setParameter: 1, syncdelay: 60})",
        ("mongodb.com: parameters", "mongodb.com: journaling"),
    ),
    Check(
        "mongodb.journal-interval",
        "the journal reaches the disk ten times a second",
        "medium",
        _commits,
        "journalCommitInterval 100 or less",
        "db.adminCommand({setParameter: 1, journalCommitInterval: 100})",
        ("mongodb.com: journaling",),
    ),
    Check(
        "mongodb.backup-proved",
        "a backup was restored, and was whole",
        "high",
        _never_restored,
        "a restore in the last 90 days",
        "mongodump --oplog, and mongorestore into another server; 'mngdb drill' once it is there",
        ("B7", "B8", "guide: MongoDB 4", "mongodb.com: backup methods", "guide: checklist"),
    ),
)
