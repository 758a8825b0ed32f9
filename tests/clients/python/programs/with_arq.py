"""arq: worker, results, deferred jobs, abort, health check. With ALONE, all results too."""

import asyncio
import os

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

URL, NAME = (os.environ[key] for key in ("REDIS_URL", "NAME"))
UNIQUE = f"one-{os.getpid()}"


async def whose(_, number):
    return f"{NAME} {number}"


async def sleeps(_):
    await asyncio.sleep(600)


async def main():
    settings = RedisSettings.from_dsn(URL)  # but for the CA, which it drops
    settings.ssl_ca_certs = os.environ.get("REDIS_CA")
    pool = await create_pool(settings)
    worker = Worker(
        [whose, sleeps],
        redis_pool=pool,
        allow_abort_jobs=True,
        poll_delay=0.05,
        health_check_interval=1,
        handle_signals=False,
    )
    task = asyncio.create_task(worker.async_run())
    one = await pool.enqueue_job("whose", 1, _job_id=UNIQUE)
    assert await pool.enqueue_job("whose", 1, _job_id=UNIQUE) is None
    late = await pool.enqueue_job("whose", 2, _defer_by=0.5)
    long = await pool.enqueue_job("sleeps")
    assert await one.result(60) == f"{NAME} 1"
    assert await late.result(60) == f"{NAME} 2"
    assert await long.abort(timeout=60)
    if os.environ.get("ALONE") == "yes":
        assert len(await pool.all_job_results()) == 3
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await worker.close()


if __name__ == "__main__":
    asyncio.run(main())
