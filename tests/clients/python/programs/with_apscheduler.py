"""APScheduler 3: jobs in RedisJobStore, which another scheduler finds."""

import os
import time

from apscheduler.jobstores.redis import RedisJobStore
from apscheduler.schedulers.background import BackgroundScheduler

PREFIX, NAME = (os.environ[key] for key in ("PREFIX", "NAME"))
CONNECTION = {  # it takes no URL
    "host": os.environ["REDIS_HOST"],
    "port": int(os.environ["REDIS_PORT"]),
    "username": NAME,
    "password": os.environ["REDIS_PASSWORD"],
    "ssl": "REDIS_CA" in os.environ,
    "ssl_ca_certs": os.environ.get("REDIS_CA"),
}
done = []


def work(name):
    done.append(name)


def scheduler():
    keys = {"jobs_key": f"{PREFIX}jobs", "run_times_key": f"{PREFIX}run_times"} if PREFIX else {}
    store = RedisJobStore(**keys, **CONNECTION)
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
