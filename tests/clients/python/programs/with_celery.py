"""Celery: worker, results, chord, countdown, revocation, remote control, events."""

import os
import subprocess
import sys
import threading
import time

from celery import Celery, chord

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
app = Celery("proof", broker=URL, backend=URL)
app.conf.update(worker_send_task_events=True, broker_connection_retry_on_startup=True)
if PREFIX:
    app.conf.broker_transport_options = {"global_keyprefix": PREFIX}
    app.conf.result_backend_transport_options = {"global_keyprefix": PREFIX}


@app.task(name="whose")
def whose(number):
    return f"{NAME} {number}"


@app.task(name="third_time", bind=True, max_retries=2)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return NAME


@app.task(name="joined")
def joined(results):
    return len(results)


def listen(seen, ready):
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": lambda e: seen.append(e["type"])})
        ready.set()
        for _ in receiver.itercapture(limit=None, timeout=60):
            pass


def main():
    seen, ready = [], threading.Event()
    listener = threading.Thread(target=listen, args=(seen, ready), daemon=True)
    listener.start()
    ready.wait()
    argv = [sys.executable, "-m", "celery", "-A", "with_celery", "worker", "-P", "solo", "-E"]
    worker = subprocess.Popen([*argv, "-n", f"{NAME}@proof", "-l", "error"])
    try:
        assert whose.delay(1).get(timeout=60) == f"{NAME} 1"
        assert chord(whose.s(n) for n in (1, 2))(joined.s()).get(timeout=60) == 2
        assert whose.apply_async((3,), countdown=0.5).get(timeout=60) == f"{NAME} 3"
        assert third_time.delay().get(timeout=60) == NAME
        late = whose.apply_async((4,), countdown=600)
        late.revoke()
        assert [*app.control.inspect(timeout=1).ping()] == [f"{NAME}@proof"]
        assert app.control.inspect(timeout=1).stats()
        assert app.control.ping(timeout=1)
        late.forget()
        app.control.purge()
        deadline = time.monotonic() + 60
        while "task-succeeded" not in seen:
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)
        app.control.broadcast("shutdown")
        worker.wait(60)
    finally:
        worker.kill()


if __name__ == "__main__":
    main()
