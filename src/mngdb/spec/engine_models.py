"""What the file says of each engine, by its name."""

from __future__ import annotations

from typing import NamedTuple

from mngdb.spec.base import BaseGrant, BaseInstance
from mngdb.spec.engine_info import MONGODB, POSTGRES, REDIS, EngineName
from mngdb.spec.mongodb import MongodbGrant, MongodbInstance
from mngdb.spec.postgres import PostgresGrant, PostgresInstance
from mngdb.spec.redis import RedisGrant, RedisInstance


class Models(NamedTuple):
    """What the file says of an instance of an engine, and of an app's right in it."""

    instance: type[BaseInstance]
    grant: type[BaseGrant]


#: One line an engine. The file takes those that are here when `mngdb.spec.file` is imported.
MODELS: dict[EngineName, Models] = {
    POSTGRES.name: Models(PostgresInstance, PostgresGrant),
    REDIS.name: Models(RedisInstance, RedisGrant),
    MONGODB.name: Models(MongodbInstance, MongodbGrant),
}
