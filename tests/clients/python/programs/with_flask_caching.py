"""Flask-Caching: memoized functions and views, many values. With ALONE, clear() too."""

import os

from flask import Flask
from flask_caching import Cache

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
ALONE = os.environ.get("ALONE") == "yes"
app = Flask(__name__)
more = {"CACHE_KEY_PREFIX": PREFIX} if PREFIX else {}
cache = Cache(app, config={"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": URL, **more})
calls = []


@cache.memoize(60)
def square(number):
    calls.append(number)
    return number * number


@app.get("/")
@cache.cached(timeout=60)
def index():
    calls.append("/")
    return NAME


def main():
    with app.app_context():
        assert [square(3), square(3), calls] == [9, 9, [3]]
        cache.delete_memoized(square)
        square(3)
        assert calls == [3, 3]
        cache.set_many({"one": NAME, "two": 2})
        assert cache.get_many("one", "two") == [NAME, 2]
        cache.delete_many("one", "two")
        assert cache.get("one") is None
        assert cache.add("one", NAME)
        if ALONE:
            assert cache.clear()
            assert cache.get("one") is None
    client = app.test_client()
    assert [client.get("/").text, client.get("/").text] == [NAME, NAME]
    assert calls.count("/") == 1


if __name__ == "__main__":
    main()
