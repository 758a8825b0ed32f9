"""Taskiq: lists, streams and pub/sub as brokers, results, a schedule."""

import asyncio
import os

from taskiq.api import run_receiver_task
from taskiq_redis import (
    ListQueueBroker,
    ListRedisScheduleSource,
    PubSubBroker,
    RedisAsyncResultBackend,
    RedisStreamBroker,
)

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))


async def whose(number: int) -> str:
    return f"{NAME} {number}"


async def prove(broker):
    task = broker.register_task(whose, task_name="whose")
    broker.is_worker_process = True
    await broker.startup()
    work = asyncio.create_task(run_receiver_task(broker))
    await asyncio.sleep(0.5)
    sent = await task.kiq(1)
    found = await sent.wait_result(timeout=60)
    assert found.return_value == f"{NAME} 1", found
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await broker.shutdown()


async def main():
    name = f"{PREFIX}taskiq"
    streams = RedisStreamBroker(URL, queue_name=f"{name}:s", consumer_group_name=name)
    for broker in (
        ListQueueBroker(URL, queue_name=name),
        streams,
        PubSubBroker(URL, queue_name=f"{name}:p"),
    ):
        results = RedisAsyncResultBackend(URL, prefix_str=PREFIX.removesuffix(":"))
        await prove(broker.with_result_backend(results))
    source = ListRedisScheduleSource(URL, prefix=f"{PREFIX}schedule")
    await source.startup()
    await source.get_schedules()


if __name__ == "__main__":
    asyncio.run(main())
