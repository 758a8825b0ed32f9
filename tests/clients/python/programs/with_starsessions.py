"""starsessions: a session begins, goes on and ends."""

import asyncio
import os

from redis.asyncio import Redis
from starsessions.stores.redis import RedisStore

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))


async def main():
    connection = Redis.from_url(URL)
    more = {"prefix": PREFIX} if PREFIX else {}
    store = RedisStore(connection=connection, **more)
    await store.write("one", NAME.encode(), lifetime=60, ttl=60)
    assert await store.read("one", lifetime=60) == NAME.encode()
    await store.remove("one")
    assert await store.read("one", lifetime=60) == b""
    await connection.aclose()


if __name__ == "__main__":
    asyncio.run(main())
