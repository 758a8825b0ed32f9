"""Dramatiq: worker, results, delayed messages, retries, rate limits, a barrier."""

import os
from concurrent.futures import ThreadPoolExecutor

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import (
    Barrier,
    BucketRateLimiter,
    ConcurrentRateLimiter,
    WindowRateLimiter,
)
from dramatiq.rate_limits.backends import RedisBackend as LimitsBackend
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))


class Backend(RedisBackend):
    """Its keys are hashes, which no rule can be about."""

    def build_message_key(self, message):
        return f"{PREFIX or 'dramatiq:'}results:{message.message_id}"


broker = RedisBroker(url=URL, namespace=f"{PREFIX}dramatiq")
results = Backend(url=URL)
broker.add_middleware(Results(backend=results, store_results=True))
dramatiq.set_broker(broker)
tries = []


@dramatiq.actor
def whose(number):
    return f"{NAME} {number}"


@dramatiq.actor(min_backoff=1, max_retries=2)
def twice():
    tries.append(1)
    if len(tries) < 2:
        raise ValueError("meant")
    return NAME


def limit():
    backend, name = LimitsBackend(url=URL), f"{PREFIX or 'dramatiq:'}limits:"
    concurrent = ConcurrentRateLimiter(backend, f"{name}concurrent", limit=1)
    with concurrent.acquire(), concurrent.acquire(raise_on_failure=False) as second:
        assert not second
    bucket = BucketRateLimiter(backend, f"{name}bucket", limit=1, bucket=60_000)
    window = WindowRateLimiter(backend, f"{name}window", limit=1, window=60)
    for one in bucket, window:
        with one.acquire(), one.acquire(raise_on_failure=False) as second:
            assert not second
    barrier = Barrier(backend, f"{name}barrier")
    assert barrier.create(parties=2)
    with ThreadPoolExecutor() as threads:
        assert all(threads.map(lambda _: barrier.wait(timeout=60_000), range(2)))


def main():
    import logging

    logging.disable(logging.CRITICAL)
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=100)
    worker.start()
    try:
        sent = whose.send(1), whose.send_with_options(args=(2,), delay=500), twice.send()
        found = [one.get_result(backend=results, block=True, timeout=60_000) for one in sent]
        assert found == [f"{NAME} 1", f"{NAME} 2", NAME]
        broker.join("default", timeout=60_000)
        broker.flush_all()
        limit()
    finally:
        worker.stop()


if __name__ == "__main__":
    main()
