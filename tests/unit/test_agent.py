"""The agent's parts by themselves: pages, slow clients, jobs; and what the file may say of it."""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.error
from collections.abc import Iterator
from typing import cast

import pytest

from mngdb.agent import web
from mngdb.agent.backups import Backups
from mngdb.agent.children import Children
from mngdb.agent.jobs import Job, Jobs
from mngdb.errors import MngdbError, SpecError
from mngdb.ops.backup import growth, schedule
from mngdb.ops.context import Context
from mngdb.spec.agent import Agent
from tests.conftest import free_port
from tests.live.scrapes import fetch, until
from tests.unit.spec import stack


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server with a page that answers, one that waits, one that fails; its clients have 1.5 s."""
    monkeypatch.setattr(web, "LIMIT", 0.5)
    monkeypatch.setattr(web, "_CLIENT", 1.0)

    def limit(seconds: float) -> list[str]:
        return [f"{seconds:g}"]

    def fail(_: float) -> list[str]:
        raise RuntimeError("no page")

    def half(_: float) -> Iterator[str]:
        yield "x" * 200_000
        raise RuntimeError("no more")

    number = free_port()
    server = web.Web("127.0.0.1", number, {"/limit": limit, "/fail": fail, "/half": half})
    server.start()
    yield number
    server.shutdown()
    server.server_close()


def test_a_page_may_take_what_prometheus_waits_but_not_more_than_the_limit(port: int) -> None:
    page = f"http://127.0.0.1:{port}/limit"
    header = "X-Prometheus-Scrape-Timeout-Seconds"
    assert fetch(page) == "0.5"
    assert fetch(page, headers={header: "0.5"}) == "0.4"
    assert fetch(page, headers={header: "nonsense"}) == "0.5"
    assert fetch(f"{page}?target=x") == "0.5"


def test_a_page_that_fails_is_an_error_and_the_next_one_answers(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(f"http://127.0.0.1:{port}/fail")
    assert caught.value.code == 500
    assert "no page" not in caught.value.read().decode()
    assert "RuntimeError: no page" in capsys.readouterr().err
    assert fetch(f"http://127.0.0.1:{port}/limit") == "0.5"


def test_a_page_that_fails_half_way_is_taken_for_whole_by_nobody(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(http.client.IncompleteRead):
        fetch(f"http://127.0.0.1:{port}/half")
    with socket.create_connection(("127.0.0.1", port), 60) as old:
        old.sendall(b"GET /half HTTP/1.0\r\n\r\n")  # knows no chunks
        assert b" 500 " in old.recv(100)
    assert capsys.readouterr().err.count("RuntimeError: no more") == 2


def test_a_client_that_is_slow_byte_by_byte_is_let_go_and_holds_up_nobody(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 60) as slow:
        begun = time.monotonic()
        ended = threading.Event()

        def drip() -> None:
            try:
                for byte in b"GET /limit HTTP/1.1\r\nX-Long: " + b"x" * 1000:
                    slow.sendall(bytes([byte]))
                    time.sleep(0.1)
            except OSError:
                ended.set()

        thread = threading.Thread(target=drip)
        thread.start()
        assert fetch(f"http://127.0.0.1:{port}/limit") == "0.5"
        assert ended.wait(60)
        thread.join()
        assert time.monotonic() - begun > 1.0


#: The signal goes to a thread, and the main thread begins to wait late or sleeps already.
_ENDED = """
import os, signal, threading, time
from mngdb.agent.main import signals
came = signals()
def end():
    time.sleep({before})
    signal.pthread_kill(threading.get_ident(), signal.{name})
    time.sleep(60)
threading.Thread(target=end, daemon=True).start()
time.sleep({late})
os.read(came, 1)
os._exit(7)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize(("before", "late"), [(0.2, 0.0), (0.0, 0.2)])
def test_a_signal_that_another_thread_gets_ends_it_too(
    name: str, before: float, late: float
) -> None:
    code = _ENDED.format(name=name, before=before, late=late)
    done = subprocess.run([sys.executable, "-c", code], timeout=50, check=False)
    assert done.returncode == 7


@pytest.fixture
def site() -> Iterator[int]:
    """The port of a site with a small page and a large one."""
    port = free_port()
    pages = {"/page": lambda _: ["x"], "/large": lambda _: ["y" * 100_000] * 200}
    server = web.Web("127.0.0.1", port, pages, ["metrics.example"])
    server.start()
    yield port
    server.shutdown()
    server.server_close()


def _asked(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 20) as wire:
        wire.sendall(request)
        answer = b""
        while more := wire.recv(65536):
            answer += more
    return answer


_NOT_READING = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("count", "sent"),
    [(32, b""), (32, b"GET /pa"), (32, _NOT_READING), (300, b""), (300, _NOT_READING)],
    ids=["32-silent", "32-half", "32-not-reading", "300-silent", "300-not-reading"],
)
def test_clients_that_are_idle_or_slow_keep_nobody_from_the_pages(
    site: int, count: int, sent: bytes
) -> None:
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    idle = []
    try:
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", site), 20)
            with contextlib.suppress(OSError):  # let go already
                one.sendall(sent)
            idle.append(one)
        begun = time.monotonic()
        assert fetch(f"http://127.0.0.1:{site}/page") == "x"
        assert time.monotonic() - begun < 10
    finally:
        for one in idle:
            one.close()


def test_a_request_that_comes_byte_by_byte_is_given_up(
    site: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_REQUEST", 0.5)

    def drip(wire: socket.socket) -> None:
        for byte in b"GET /page HTTP/1.1\r\n" + b"A: b\r\n" * 100:
            wire.sendall(bytes([byte]))
            time.sleep(0.05)

    with (
        socket.create_connection(("127.0.0.1", site), 20) as wire,
        pytest.raises(ConnectionError),
    ):
        drip(wire)


def test_a_large_request_is_refused_unread(site: int) -> None:
    line = b"GET /page HTTP/1.1\r\nA: " + b"b" * 9000
    assert _asked(site, line).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("host", "code"),
    [
        *[("localhost:9187", 200), ("127.0.0.1", 200), ("[::1]:9187", 200)],
        *[("192.0.2.7:1", 200), (socket.gethostname(), 200), ("Metrics.Example:9187", 200)],
        *[("evil.example", 421), ("localhost.evil.example:9187", 421), ("", 421), ("[", 421)],
    ],
)
def test_a_page_from_elsewhere_cannot_ask_under_its_own_name(
    site: int, host: str, code: int
) -> None:
    answer = _asked(site, f"GET /page HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {code} ".encode())


def test_a_job_that_fails_is_told_counted_and_tried_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rounds: list[str] = []

    def bad() -> None:
        rounds.append("bad")
        if rounds.count("bad") < 6:
            raise MngdbError("it is broken") if rounds.count("bad") < 3 else RuntimeError("a bug")

    jobs = Jobs([Job("bad", 0.02, bad), Job("good", 0.02, lambda: rounds.append("good"))])
    jobs.start()
    until(lambda: rounds.count("bad") >= 7 and rounds.count("good") >= 3)
    jobs.stop()
    found = {s.labels[0][1]: s.value for s in jobs.families()[0].samples}
    assert found["good"] == 0
    assert found["bad"] == 5
    said = capsys.readouterr().err
    assert [said.count(text) for text in ("bad: it is broken", "RuntimeError: a bug")] == [1, 1]
    assert said.splitlines()[-1].endswith(" bad: works again")


def test_it_is_on_where_there_are_servers_on_this_machine() -> None:
    assert stack("postgres: {}").agent == Agent()
    assert stack("postgres: {}\nagent: true").agent == Agent()
    assert stack("postgres: {}\nagent: false").agent is None
    external = "redis: {target: {external: {url: 'redis://admin@cache.example:6379'}}}"
    assert stack(external).agent is None
    found = stack(f"postgres: {{}}\n{external}")
    assert {name: one.monitored for name, one in found.instances.items()} == {
        "postgres": True,
        "redis": False,
    }


def test_elsewhere_it_is_on_where_the_file_asks_for_it_or_somebody_is_to_be_told() -> None:
    compose = "target: compose\nredis: {}\n"
    assert stack(compose).agent is None
    assert [one.name for one in stack(compose).monitored] == ["redis"]  # by its exporter
    assert stack(compose + "agent: true").agent == Agent()
    assert stack(compose + "agent: {restart: false}").agent == Agent(restart=False)
    channels = "alerts: {channels: {team: slack}}\n"
    assert stack(compose + channels).agent == Agent()
    assert stack(compose + channels + "agent: false").agent is None
    found = stack(f"{compose}instances: {{near: {{engine: redis, target: local, port: 7000}}}}")
    assert found.agent == Agent()


def test_servers_of_others_are_looked_at_on_request() -> None:
    external = "redis: {target: {external: {url: 'redis://admin@cache.example:6379'}}}\n"
    assert stack(external + "agent: true").agent is None
    found = stack(external + "agent: {external: true}")
    assert found.agent == Agent(external=True)
    assert [one.name for one in found.monitored] == ["redis"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis: {port: 9121}\nagent: {ports: {redis: 9121}}", "the metrics of redis"),
        ("redis: {port: 9321}\nagent: {ports: {mngdb: 9321}}", "the agent"),
        ("redis: {}\nagent: {ports: {redis: 9321, mngdb: 9321}}", "port 9321 is used twice"),
        ("redis: {}\nagent: {bind: 0.0.0.0}", "exposes the server to every network"),
        ("redis: {}\nagent: {port: 1}", "ports"),
        ("redis: {}\ninstances: {agent: {engine: redis, port: 7000}}", "mng-agent"),
        ("redis: {}\napps: {monitor: {redis: 'm:*'}}", "reserved"),
    ],
)
def test_what_cannot_be(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        stack(text)
    assert said in caught.value.message + str(caught.value.hint)


def test_a_port_of_an_engine_that_the_file_has_not_is_free() -> None:
    assert (
        stack("redis: {port: 9187}\nagent: {ports: {postgres: 9187}}").instances["redis"].spec.port
        == 9187
    )


def test_a_backup_that_failed_keeps_no_store_from_being_pruned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = []

    def run(_: Children, *words: str) -> None:
        ran.append(words[1])
        if words[1] == "take":
            raise MngdbError("one of them failed")

    monkeypatch.setattr(Children, "run", run)
    monkeypatch.setattr(Backups, "_busy", lambda _: False)
    monkeypatch.setattr(Backups, "_await", lambda *_: None)
    monkeypatch.setattr(schedule, "backups_due", lambda *_: ["pg", "redis"])
    monkeypatch.setattr(growth, "look", lambda _: None)
    with pytest.raises(MngdbError, match="one of them"):
        Backups(none := cast(Context, None), Children(none)).look()
    assert ran == ["take", "prune"]
