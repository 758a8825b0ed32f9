"""APScheduler 3: jobs in RedisJobStore, which another scheduler finds."""

import os
import time

from apscheduler.jobstores.redis import RedisJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from redis.connection import parse_url

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
done = []


def work(name):
    done.append(name)


def scheduler():
    keys = {"jobs_key": f"{PREFIX}jobs", "run_times_key": f"{PREFIX}run_times"} if PREFIX else {}
    store = RedisJobStore(**keys, **parse_url(URL))
    return BackgroundScheduler(jobstores={"default": store})


def main():
    import with_apscheduler

    first = scheduler()
    first.start(paused=True)
    first.add_job(with_apscheduler.work, "interval", seconds=1, args=[NAME], id="tick")
    first.shutdown()
    second = scheduler()
    second.start()
    deadline = time.monotonic() + 30
    while not with_apscheduler.done:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second.pause_job("tick")
    assert [job.id for job in second.get_jobs()] == ["tick"]
    second.remove_all_jobs()
    second.shutdown()
    assert {*with_apscheduler.done} == {NAME}


if __name__ == "__main__":
    main()
