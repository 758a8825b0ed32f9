"""RQ: worker with scheduler, results, delayed and dependent jobs, failures, remote commands."""

import os
import subprocess
import sys
import time
from datetime import timedelta

from redis import Redis
from rq import Queue
from rq.command import send_shutdown_command
from rq.registry import FailedJobRegistry
from rq.worker import Worker

URL, NAME = (os.environ[key] for key in ("REDIS_URL", "NAME"))


def whose(number):
    return f"{os.environ['NAME']} {number}"


def fails():
    raise ValueError("meant")


def wait_for(what):
    deadline = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def main():
    connection = Redis.from_url(URL)
    queue = Queue(connection=connection)
    argv = [sys.executable, "-m", "rq.cli", "worker", "--url", URL, "--with-scheduler", "-q"]
    worker = subprocess.Popen([*argv, "-n", NAME])
    try:
        import with_rq

        one = queue.enqueue(with_rq.whose, 1)
        then = queue.enqueue(with_rq.whose, 2, depends_on=one)
        late = queue.enqueue_in(timedelta(seconds=1), with_rq.whose, 3)
        wrong = queue.enqueue(with_rq.fails)
        assert wait_for(one.return_value) == f"{NAME} 1"
        assert wait_for(then.return_value) == f"{NAME} 2"
        assert wait_for(late.return_value) == f"{NAME} 3"
        wait_for(lambda: wrong.id in FailedJobRegistry(queue=queue).get_job_ids())
        assert [one.name for one in Worker.all(connection)] == [NAME]
        send_shutdown_command(connection, NAME)
        worker.wait(60)
        queue.empty()
        queue.delete()
    finally:
        worker.kill()


if __name__ == "__main__":
    main()
