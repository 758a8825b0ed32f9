"""cashews: values, functions, locks, tags, rate limits, transactions, Bloom filters, bits; keys
deleted by a pattern."""

import asyncio
import os

from cashews import RateLimitError, TransactionMode, add_prefix, cache

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


# add_prefix misses the commands for bits
@cache.bloom(capacity=10, name=f"{PREFIX}known:{{name}}", check_false_positive=False)
async def known(name):
    return name == NAME


@cache.dual_bloom(capacity=10, name=f"{PREFIX}even:{{number}}")
async def even(number):
    calls.append(number)
    return number % 2 == 0


async def transact():
    # the third mode, SERIALIZABLE, has one lock for all apps on a server
    for mode in (TransactionMode.FAST, TransactionMode.LOCKED):
        async with cache.transaction(mode, timeout=5):
            await cache.incr("transacted", expire=60)
    assert await cache.get("transacted") == 2


async def filters():
    assert [await known(name=NAME), await known.set(name=NAME), await known(name=NAME)] == [
        False, True, True,
    ]  # fmt: skip
    calls.clear()
    assert [await even(number=one) for one in (2, 2, 3, 3)] == [True, True, False, False]
    assert calls == [2, 3]
    assert await cache.incr_bits(f"{PREFIX}bits", 0, 2) == (1, 1)
    assert await cache.get_bits(f"{PREFIX}bits", 0, 1, 2) == (1, 0, 1)


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
    await transact()
    await filters()
    try:
        await seldom()
    except RateLimitError:
        await cache.close()
    else:
        raise AssertionError("a second call")


if __name__ == "__main__":
    asyncio.run(main())
