"""rq-scheduler: jobs for later, at intervals and by cron, which its process gives to a worker."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from redis import Redis
from rq import Queue
from rq.command import send_shutdown_command
from rq_scheduler import Scheduler
from with_rq import NAME, URL, wait_for, whose


def main():
    connection = Redis.from_url(URL)
    queue, scheduler = Queue(connection=connection), Scheduler(connection=connection)
    # in a variable: other accounts can read arguments, and they would have the password
    env = {**os.environ, "RQ_REDIS_URL": URL}
    argv = [sys.executable, "-m", "rq_scheduler.scripts.rqscheduler", "--quiet", "-i", "0.5"]
    beside = subprocess.Popen(argv, env=env)
    worker = subprocess.Popen([sys.executable, "-m", "rq.cli", "worker", "-q", "-n", NAME], env=env)
    try:
        late = scheduler.enqueue_in(timedelta(seconds=1), whose, 1)
        often = scheduler.schedule(datetime.now(UTC), whose, (2,), interval=1, repeat=2)
        nightly = scheduler.cron("0 3 * * *", whose, (3,))
        assert nightly in scheduler
        scheduler.change_execution_time(nightly, datetime.now(UTC))
        for number, job in enumerate((late, often, nightly), 1):
            assert wait_for(job.return_value) == f"{NAME} {number}"
        wait_for(lambda: often not in scheduler)
        assert [job.id for job in scheduler.get_jobs()] == [nightly.id]
        scheduler.cancel(nightly)
        send_shutdown_command(connection, NAME)
        worker.wait(60)
        beside.terminate()
        beside.wait(60)
        queue.empty()
        queue.delete()
    finally:
        worker.kill()
        beside.kill()


if __name__ == "__main__":
    main()
