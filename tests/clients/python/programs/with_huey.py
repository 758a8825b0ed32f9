"""Huey: consumer, results, delayed tasks, retries, locks, revocation."""

import logging
import os
import time

from huey import RedisHuey

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
huey = RedisHuey(PREFIX.removesuffix(":") or "huey", url=URL)
tries = []


@huey.task()
def whose(number):
    return f"{NAME} {number}"


@huey.task(retries=1)
def twice():
    tries.append(1)
    if len(tries) < 2:
        raise ValueError("meant")
    return NAME


@huey.task()
@huey.lock_task("alone")
def locked():
    return NAME


def main():
    logging.disable(logging.CRITICAL)
    consumer = huey.create_consumer(workers=1, scheduler_interval=1, periodic=True)
    consumer.start()
    try:
        assert whose(1)(blocking=True, timeout=60) == f"{NAME} 1"
        assert whose.schedule((2,), delay=1)(blocking=True, timeout=60) == f"{NAME} 2"
        assert locked()(blocking=True, timeout=60) == NAME
        twice()
        whose.schedule((3,), delay=600).revoke()
        deadline = time.monotonic() + 60
        while not huey.scheduled_count():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        huey.flush()
    finally:
        consumer.stop()


if __name__ == "__main__":
    main()
