"""cashews: values, functions, locks, tags, rate limits; keys deleted by a pattern."""

import asyncio
import os

from cashews import RateLimitError, add_prefix, cache

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
# what Redis refuses would only be logged
cache.setup(URL, suppress=False, middlewares=(add_prefix(PREFIX),))
# add_prefix misses some commands for tags, which then look for another key than was written
cache.setup_tags_backend(URL, suppress=False)
calls = []


@cache(ttl="1m", key="square:{number}", tags=[f"{PREFIX}squares"], lock=True)
async def square(number):
    calls.append(number)
    return number * number


@cache.locked(ttl="10s", key="once")
async def once():
    return NAME


@cache.rate_limit(limit=1, period="1m", key="seldom")
async def seldom():
    return NAME


async def main():
    assert [await square(3), await square(3), calls] == [9, 9, [3]]
    await cache.delete_tags(f"{PREFIX}squares")
    assert [await square(3), calls] == [9, [3, 3]]
    await cache.set_many({"many:one": NAME, "many:two": 2}, expire=60)
    assert await cache.get_many("many:one", "many:two") == (NAME, 2)
    await cache.delete_match("many:*")
    assert await cache.get("many:one") is None
    async with cache.lock("lock", expire=10):
        assert await cache.is_locked("lock")
    assert await cache.incr("count", expire=60) == 1
    assert [await once(), await seldom()] == [NAME, NAME]
    try:
        await seldom()
    except RateLimitError:
        await cache.close()
    else:
        raise AssertionError("a second call")


if __name__ == "__main__":
    asyncio.run(main())
