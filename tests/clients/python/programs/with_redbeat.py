"""RedBeat: Celery's schedule in Redis, entries made by the file and by the program."""

import os
import time

from celery import Celery
from celery.schedules import schedule
from celery.signals import beat_init
from redbeat import RedBeatScheduler, RedBeatSchedulerEntry

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
app = Celery(NAME, broker="memory://")
app.conf.redbeat_redis_url = URL
app.conf.beat_schedule = {"tick": {"task": "tick", "schedule": 1.0}}
if PREFIX:
    app.conf.redbeat_key_prefix = f"{PREFIX}redbeat:"


@app.task(name="tick")
def tick():
    return NAME


def main():
    entry = RedBeatSchedulerEntry("more", "tick", schedule(1), app=app)
    entry.save()
    beat = RedBeatScheduler(app=app)

    class Service:
        scheduler = beat

    beat_init.send(sender=Service)  # takes the lock
    deadline = time.monotonic() + 30
    while not RedBeatSchedulerEntry.from_key(entry.key, app=app).total_run_count:
        assert time.monotonic() < deadline
        beat.tick()
        time.sleep(0.2)
    assert {one.task for one in beat.schedule.values()} == {"tick"}
    entry.reschedule()
    entry.delete()
    beat.close()


if __name__ == "__main__":
    main()
