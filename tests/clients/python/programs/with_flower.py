"""Flower: what it learns of workers, tasks and queues, and what it has workers do."""

import json
import os
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import Request, urlopen

from with_celery import NAME, whose


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(command, *arguments, **env):
    argv = [sys.executable, "-m", "celery", "-A", "with_celery", command, *arguments]
    return subprocess.Popen([*argv], env={**os.environ, **env})


def main():
    port = free_port()

    def ask(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"http://127.0.0.1:{port}/api/{path}", data), timeout=30) as answer:
            return json.load(answer)

    def wait_for(path, holds):
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, path
            try:
                if holds(found := ask(path)):
                    return found
            except URLError:
                pass
            time.sleep(0.2)

    # Celery takes the CA from the URL; for the lengths of queues Flower takes it from here
    trust = {"SSL_CERT_FILE": os.environ["REDIS_CA"]} if "REDIS_CA" in os.environ else {}
    options = ("--address=127.0.0.1", f"--port={port}", "--logging=error")
    flower = start("flower", *options, FLOWER_UNAUTHENTICATED_API="true", **trust)
    worker = start("worker", "-P", "solo", "-E", "-n", f"{NAME}@proof", "-l", "error")
    try:
        found = wait_for("workers?refresh=1", lambda seen: f"{NAME}@proof" in seen)
        assert [*found] == [f"{NAME}@proof"]
        assert whose.delay(1).get(timeout=60) == f"{NAME} 1"
        wait_for("tasks?state=SUCCESS", len)
        assert ask("task/apply/whose", {"args": [2]})["result"] == f"{NAME} 2"
        queues = ask("queues/length")["active_queues"]
        assert [one["messages"] for one in queues] == [0], queues
        ask(f"worker/shutdown/{NAME}@proof", {})
        worker.wait(60)
    finally:
        worker.kill()
        flower.terminate()
        flower.wait(60)


if __name__ == "__main__":
    main()
