"""dogpile.cache: values, functions, distributed locks."""

import os

from dogpile.cache import make_region

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
region = make_region(key_mangler=lambda key: PREFIX + key).configure(
    "dogpile.cache.redis",
    expiration_time=60,
    arguments={"url": URL, "distributed_lock": True, "thread_local_lock": False},
)
calls = []


@region.cache_on_arguments()
def square(number):
    calls.append(number)
    return number * number


def main():
    assert [square(3), square(3), calls] == [9, 9, [3]]
    square.invalidate(3)
    square(3)
    assert calls == [3, 3]
    region.set_multi({"one": NAME, "two": 2})
    assert region.get_multi(["one", "two"]) == [NAME, 2]
    region.delete_multi(["one", "two"])
    assert region.get_or_create("three", lambda: NAME) == NAME


if __name__ == "__main__":
    main()
