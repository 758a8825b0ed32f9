"""A proxy in front of a server that speaks HTTP: it is slow, silent or refuses, as networks do."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Bytes that go on at once.
_STEP = 16 << 10


class Between(ThreadingHTTPServer):
    """Passes requests on to a port of this machine."""

    daemon_threads = True

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        #: By method and path: a status to answer with instead, or 0 for no answer at all.
        self.fault: Callable[[str, str], int | None] = lambda _, __: None
        #: Bytes a second, either way; None: as fast as it goes.
        self.rate: float | None = None
        #: What was answered instead.
        self.refused: list[str] = []
        self.over = threading.Event()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def passed(self, size: int) -> None:
        """Wait as long as so many bytes take."""
        if self.rate is not None:
            time.sleep(size / self.rate)


@contextlib.contextmanager
def between(target: int) -> Iterator[Between]:
    """One that runs in the block."""
    server = Between(target)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Between
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = bytearray()
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            step = self.rfile.read(min(left, _STEP))
            body += step
            left -= len(step)
            self.server.passed(len(step))
        status = self.server.fault(self.command, self.path)
        if status is None:
            self._answer(*self._asked(bytes(body)))
            return
        self.server.refused.append(f"{self.command} {self.path}")
        if status:
            self._answer(status, [], b"<Error><Code>InternalError</Code></Error>")
        else:
            self.server.over.wait(30)
            self.close_connection = True

    def _asked(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        wire = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=30)
        with contextlib.closing(wire):
            wire.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                wire.putheader(name, value)  # with the host that was signed
            wire.endheaders(body)
            answer = wire.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for at in range(0, len(body), _STEP):
            self.wfile.write(body[at : at + _STEP])
            self.server.passed(len(body[at : at + _STEP]))

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 — http.server's names

    def log_message(self, *_: object) -> None:
        """Nothing."""
