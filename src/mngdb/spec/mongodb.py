"""What the file says of a MongoDB instance, its indexes and an app's right in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mngdb.spec.base import BaseInstance, Model, OneLine, PortOrAuto, SettingValue, located
from mngdb.spec.engine_info import MONGODB
from mngdb.spec.names import MongoCollectionName, MongoDatabaseName, MongoFieldName
from mngdb.spec.several import DatabasesGrant
from mngdb.spec.units import Duration, Milliseconds


def _no_bool(value: object) -> object:
    if isinstance(value, bool | float):  # Python takes True and 1.0 for 1; MongoDB does not
        raise ValueError(f"{str(value).lower()} is not a direction; write 1 or -1")  # noqa: TRY004
    return value


Direction = Annotated[Literal[1, -1, "text", "2d", "2dsphere", "hashed"], BeforeValidator(_no_bool)]


def _plain(value: Any) -> Any:
    """Plain numbers all the way down: drivers know nothing of ours."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return float(value) if isinstance(value, float) else value


def _index_name(value: str) -> str:
    if not value or len(value) > 120 or not value.isprintable() or value == "*" or value == "_id_":
        raise ValueError(f"{value[:40]!r} is not a valid index name")
    return value


class Index(Model):
    """An index. The order of the fields matters."""

    keys: dict[MongoFieldName, Direction] = Field(min_length=1, max_length=32)
    """For each field: 1 (ascending), -1 (descending), text, 2dsphere or hashed."""
    name: Annotated[str, AfterValidator(_index_name)] | None = None
    """Name of the index. Default: derived from the fields, as MongoDB does (`username_1`)."""
    unique: bool = False
    """Reject documents with duplicate values. Existing duplicates are reported, with their count
    and an example, and nothing is changed."""
    sparse: bool = False
    """Omit documents without the field."""
    ttl: Duration | None = None
    """Remove documents this long after the date in the field; 0s: at that date."""
    partial: Annotated[dict[str, Any], AfterValidator(_plain)] | None = None
    """Index only documents that match this filter (partialFilterExpression)."""
    purpose: OneLine | None = None
    """What the index is for, for people: `plan` and `mngdb indexes` show it. The server does not
    know it."""

    @model_validator(mode="after")
    def _fits(self) -> Index:
        if self.ttl is not None and len(self.keys) != 1:
            raise ValueError("a TTL index has exactly one field")
        if self.ttl is not None and self.ttl.total_seconds() > 2_147_483_647:
            raise ValueError("a TTL is at most 2147483647 seconds (MongoDB's limit)")
        if self.ttl is not None and self.ttl % timedelta(seconds=1):
            raise ValueError("a TTL counts whole seconds")
        if self.sparse and self.partial is not None:
            raise ValueError("an index is sparse or partial, not both")
        if list(self.keys) == ["_id"]:
            raise ValueError("MongoDB maintains the index on _id itself")
        return self

    @property
    def label(self) -> str:
        """Its name: the given one, or MongoDB's default."""
        return self.name or "_".join(f"{field}_{way}" for field, way in self.keys.items())


class Database(Model):
    """A database: the indexes of its collections."""

    indexes: dict[MongoCollectionName, list[Index]] = Field(default_factory=dict)
    """Indexes by collection. An index that is removed from the file appears in `plan`, and is
    dropped on request."""

    @model_validator(mode="after")
    def _once(self) -> Database:
        for collection, indexes in self.indexes.items():
            for attribute in ("label", "keys"):
                seen = [str(getattr(index, attribute)) for index in indexes]
                twice = next((one for one in seen if seen.count(one) > 1), None)
                if twice:
                    raise located(f"the index {twice} is listed twice", "indexes", collection)
        return self


class MongodbInstance(BaseInstance):
    """A MongoDB server: a replica set of one node."""

    reserved_settings: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("port", "net.port"), "the key 'port'"),
        **dict.fromkeys(("bindIp", "net.bindIp", "net.bindIpAll", "net.ipv6"), "the key 'bind'"),
        **dict.fromkeys(("net.tls.", "net.ssl."), "the key 'tls'"),
        "storage.wiredTiger.engineConfig.cacheSizeGB": "the key 'memory'",
        "operationProfiling.slowOpThresholdMs": "the key 'slow'",
        "replication.oplogSizeMB": "the key 'oplog'",
        "security.javascriptEnabled": "the key 'javascript'",
        **dict.fromkeys(("replSet", "replication.replSetName"), "the stack's name"),
        **dict.fromkeys(
            (
                *("dbpath", "logpath", "keyFile", "auth", "storage.dbPath", "security.keyFile"),
                *("security.authorization", "security.transitionToAuth", "net.unixDomainSocket."),
                *("security.clusterAuthMode", "systemLog.destination", "systemLog.path"),
                *("systemLog.logAppend", "systemLog.logRotate", "systemLog.syslogFacility"),
                *("processManagement.", "sharding."),
            ),
            "how mngdb runs the server",
        ),
    }

    engine: Literal["mongodb"] = "mongodb"
    """The engine: required under `instances`, implied elsewhere."""
    port: PortOrAuto = MONGODB.port
    max_connections: int = Field(default=4000, ge=10, le=100_000)
    """Maximum number of connections, including those that never log in: mongod does not close
    them."""
    slow: Milliseconds = timedelta(milliseconds=100)
    """Operations that take longer than this are profiled (slowms)."""
    oplog: Annotated[int, Field(ge=990, le=1_000_000)] = 990
    """Size of the oplog in MB, which limits how far back a point-in-time restore can go."""
    outdated: bool = False
    """Accept an end-of-life release line, for which `mngdb check` fails `mongodb.version`
    otherwise. Known vulnerabilities still fail it. The mongod from pip is of such a line (6.0,
    end-of-life since July 2025) and has vulnerabilities."""
    javascript: bool = False
    """Allow server-side JavaScript from clients ($where, $function, mapReduce): MongoDB's security
    checklist recommends disabling it if no app needs it."""
    databases: dict[MongoDatabaseName, Database] = Field(default_factory=dict)
    """Indexes by database. A database that is named only under `apps` can be omitted."""
    settings: dict[str, SettingValue] = Field(default_factory=dict)
    """Settings of the server, overriding the defaults that `mngdb config` shows: options of its
    configuration file by their dotted names (`net.maxIncomingConnections`,
    `storage.journal.commitIntervalMs`), and parameters (setParameter) by name."""

    @property
    def files(self) -> int:
        """The manual asks for 64000 where clients have no limit; the file gives them one, and 16000
        are then left for the data."""
        return min(64_000, self.max_connections + 16_000)

    @model_validator(mode="after")
    def _compressors(self) -> MongodbInstance:
        name = "net.compression.compressors"
        value = self.settings.get(name, "disabled")
        found = {one.strip() for one in value.split(",")}
        if "zlib" in found:
            text = "zlib is not allowed: it can leak a server's memory (CVE-2025-14847)"
            raise located(text, "settings", name)
        if found != {"disabled"} and not found <= {"snappy", "zstd"}:
            text = f"{value[:40]!r} is not a list of compressors; write snappy, zstd or disabled"
            raise located(text, "settings", name)
        return self

    @model_validator(mode="after")
    def _said_once(self) -> MongodbInstance:
        name = "net.maxIncomingConnections"
        if "max_connections" in self.model_fields_set and name in self.settings:
            text = "the key 'max_connections' sets it already; remove one of them"
            raise located(text, "settings", name)
        return self


class MongodbGrant(DatabasesGrant):
    """Rights of an app in a MongoDB instance. Short form: the database's name."""

    database: MongoDatabaseName
    """The database; MongoDB creates it with its first document or index."""
    databases: list[MongoDatabaseName] = Field(default_factory=lambda: [])
    """Several databases, as for tests or tenants: `[shop, shop_test]`. The first is the main one,
    unless `database` names it. MongoDB grants rights by whole names, not by prefix."""
    access: Literal["readwrite", "readonly"] = "readwrite"
    """`readwrite` can also create and change collections and indexes, and drop the database; both
    are limited to these databases."""


def role_name(app: str) -> str:
    """The app's role on the server; the prefix keeps it apart from the roles of others."""
    return f"mngdb-{app}"
