"""limits: three strategies. With ALONE, reset() of the storage too."""

import os

from limits import parse
from limits.storage import RedisStorage
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    SlidingWindowCounterRateLimiter,
)

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
ALONE = os.environ.get("ALONE") == "yes"


def main():
    more = {"key_prefix": PREFIX.removesuffix(":")} if PREFIX else {}
    storage = RedisStorage(URL, **more)
    assert storage.check()
    rate = parse("2/hour")
    for strategy in (
        FixedWindowRateLimiter,
        MovingWindowRateLimiter,
        SlidingWindowCounterRateLimiter,
    ):
        limiter = strategy(storage)
        kind = strategy.__name__
        assert [limiter.hit(rate, kind) for _ in range(3)] == [True, True, False]
        assert not limiter.test(rate, kind)
        assert limiter.get_window_stats(rate, kind).remaining == 0
        limiter.clear(rate, kind)
        assert limiter.hit(rate, kind)
    if ALONE:
        assert storage.reset()


if __name__ == "__main__":
    main()
