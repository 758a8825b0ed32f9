"""limits: three strategies, Flask-Limiter and slowapi. With ALONE, reset() of the storage too."""

import os

from flask import Flask
from flask_limiter import Limiter
from limits import parse
from limits.storage import RedisStorage
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    SlidingWindowCounterRateLimiter,
)
from slowapi import Limiter as Slowapi

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
ALONE = os.environ.get("ALONE") == "yes"
MORE = {"key_prefix": PREFIX.removesuffix(":")} if PREFIX else {}


def main():
    storage = RedisStorage(URL, **MORE)
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
    with_flask()
    if ALONE:
        assert storage.reset()


def with_flask():
    app = Flask(__name__)
    told = {"storage_uri": URL, "storage_options": MORE}
    Limiter(lambda: NAME, app=app, default_limits=["2 per hour"], **told)
    app.get("/")(lambda: NAME)
    client = app.test_client()
    assert [client.get("/").status_code for _ in range(3)] == [200, 200, 429]
    storage = Slowapi(lambda: NAME, **told)._storage
    assert [storage.incr(f"slowapi {NAME}", 60) for _ in range(2)] == [1, 2]


if __name__ == "__main__":
    main()
