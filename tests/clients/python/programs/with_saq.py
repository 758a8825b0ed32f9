"""SAQ: worker, results, scheduled jobs, retries, abort."""

import asyncio
import os
import time

from saq import Queue, Worker

URL, NAME = (os.environ[key] for key in ("REDIS_URL", "NAME"))
tries = []


async def whose(_, *, number):
    return f"{NAME} {number}"


async def flaky(_):
    tries.append(1)
    if len(tries) < 2:
        raise ValueError("meant")
    return NAME


async def slow(_):
    await asyncio.sleep(60)


async def main():
    queue = Queue.from_url(URL)
    await queue.connect()
    worker = Worker(queue, functions=[whose, flaky, slow], concurrency=2)
    running = asyncio.create_task(worker.start())
    # a job may be swept as stuck before it has begun: then it is tried again
    assert await queue.apply("whose", number=1, retries=3, timeout=30) == f"{NAME} 1"
    late = await queue.enqueue("whose", number=2, retries=3, scheduled=time.time() + 1)
    await late.refresh(30)
    assert late.result == f"{NAME} 2"
    assert await queue.apply("flaky", retries=3, timeout=30) == NAME
    both = await queue.map("whose", [{"number": 3}, {"number": 4}], retries=3)
    assert both == [f"{NAME} 3", f"{NAME} 4"]
    job = await queue.enqueue("slow")
    await asyncio.sleep(0.5)
    await job.abort("meant", ttl=5)
    await job.refresh(30)
    assert (await queue.info(jobs=True))["name"] == queue.name
    await worker.stop()
    await running
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(), 120))
