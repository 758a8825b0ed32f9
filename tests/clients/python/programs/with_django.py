"""Django's own Redis cache and django-redis, sessions in the cache. With ALONE, clear() too."""

import os

import django
from django.conf import settings

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
ALONE = os.environ.get("ALONE") == "yes"
BARE = PREFIX.removesuffix(":")
settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": URL,
            "KEY_PREFIX": BARE,
        },
        "more": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": URL,
            "KEY_PREFIX": BARE,
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        },
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    INSTALLED_APPS=["django.contrib.sessions"],
)
django.setup()


def prove(cache):
    cache.set("a", NAME)
    assert cache.get("a") == NAME
    assert cache.add("n", 1)
    assert cache.incr("n") == 2
    cache.set_many({"b": 1, "c": 2}, timeout=60)
    assert cache.get_many(["b", "c"]) == {"b": 1, "c": 2}
    assert cache.touch("b", 30)
    assert cache.get_or_set("d", NAME) == NAME
    assert cache.has_key("d")
    cache.incr_version("d")
    cache.delete_many(["b", "c"])
    assert cache.delete("n")
    if ALONE:
        cache.clear()
        assert cache.get("a") is None


def main():
    from django.contrib.sessions.backends.cache import SessionStore
    from django.core.cache import caches

    prove(caches["default"])
    more = caches["more"]
    prove(more)
    more.set("e", 1, timeout=60)
    assert more.ttl("e") > 0
    with more.lock("lock", timeout=10):
        more.persist("e")
    assert [*more.iter_keys("e*")] == ["e"]
    assert more.delete_pattern("e*") == 1
    session = SessionStore()
    session["user"] = NAME
    session.save()
    again = SessionStore(session.session_key)
    assert again["user"] == NAME
    again.cycle_key()
    again.flush()


if __name__ == "__main__":
    main()
