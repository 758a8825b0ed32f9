"""A small HTTP server for pages that are made anew each time: GET, fixed paths, time limits."""

from __future__ import annotations

import io
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from typing import Any

#: Makes a page, piece by piece, given the seconds that it may take.
Page = Callable[[float], Iterable[str]]

#: What `exposition` makes.
_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PLAIN = "text/plain; charset=utf-8"
#: Seconds for a page when the client does not say how long it waits. Prometheus waits for ten.
LIMIT = 5.0
#: A client may take this many seconds for its answer, beyond the page, and for its request.
_CLIENT, _REQUEST = 10.0, 5.0
#: Bytes of a request: a line and a few headers.
_REQUEST_MAX = 8192
#: Connections at a time. With one more, the oldest goes: who asks and takes the answer is gone long
#: before, and nobody keeps others out by doing nothing.
_CONNECTIONS = 64
#: Bytes that are sent at a time.
_CHUNK = 1 << 16


class Web(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves `pages` (path to page) in a thread for each request."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, host: str, port: int, pages: Mapping[str, Page], names: Iterable[str] = ()
    ) -> None:
        """Listens at once; `names` are what it may be called by beside localhost, this machine's
        name and addresses. Raises OSError."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.pages = pages
        self._names = {"localhost", socket.gethostname().lower(), *map(str.lower, names)}
        self._open: dict[Any, float] = {}
        self._guard = threading.Lock()
        super().__init__((host, port), _Handler)

    def start(self) -> None:
        """Serve until `shutdown`."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """One more thread; the oldest connection makes room where there are too many."""
        with self._guard:
            self._open[request] = time.monotonic() + _REQUEST + LIMIT + _CLIENT
            oldest = next(iter(self._open)) if len(self._open) > _CONNECTIONS else None
            if oldest is not None:
                del self._open[oldest]
        if oldest is not None:
            _hang_up(oldest)
        super().process_request(request, client_address)

    def known_as(self, host: str) -> bool:
        """Whether a browser may ask for this host. A name of somebody else that leads here would
        let his pages read ours (DNS rebinding); an address is nobody's name."""
        name = (host.rpartition(":")[0] or host) if not host.endswith("]") else host
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return name.lower() in self._names
        return True

    def shutdown_request(self, request: Any) -> None:
        """The connection is over."""
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Every half second: a client that is too slow, byte by byte, is let go."""
        with self._guard:
            late = [request for request, limit in self._open.items() if limit < time.monotonic()]
        for request in late:
            _hang_up(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error; a page that fails has been told by the handler."""


def _hang_up(request: Any) -> None:
    with suppress(OSError):  # it went by itself
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: Web
    timeout = _CLIENT
    protocol_version = "HTTP/1.1"
    server_version = "mngdb"
    sys_version = ""

    def handle(self) -> None:
        """One request, read as a whole before it is looked at: small, and soon."""
        self.close_connection = True
        request, end = b"", time.monotonic() + _REQUEST
        while b"\r\n\r\n" not in request and b"\n\n" not in request:
            self.connection.settimeout(max(0.01, end - time.monotonic()))
            more = self.connection.recv(_REQUEST_MAX + 1 - len(request))
            if not more:
                return
            request += more
            if len(request) > _REQUEST_MAX:
                self.requestline, self.request_version, self.command = "", "HTTP/1.0", "GET"
                self._answer(431, _PLAIN, b"the request is too large\n")
                return
        self.connection.settimeout(_CLIENT)
        self.rfile = io.BytesIO(request)
        self.handle_one_request()

    def do_GET(self) -> None:
        """Answer with a page, or say which there are."""
        host = self.headers.get("Host")
        if host is not None and not self.server.known_as(host):
            text = "unknown host name; to allow it: agent: {names: [NAME]}\n"
            self._answer(421, _PLAIN, text.encode())
            return
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            pages = "\n".join(self.server.pages)
            self._answer(404, _PLAIN, f"pages:\n{pages}\n".encode())
            return
        try:
            pieces = page(self._limit())
            if self.request_version == "HTTP/1.0":
                self._answer(200, _TYPE, "".join(pieces).encode())
        except Exception as error:
            self._failed(error)
            self._answer(500, _PLAIN, b"failed; the agent's log says why\n")
            raise
        if self.request_version != "HTTP/1.0":
            self._stream(pieces)

    def _stream(self, pieces: Iterable[str]) -> None:
        """A page as it is made, in chunks: with thousands of tables the whole is large. One that
        fails half way ends without its last chunk, and no client takes it for whole."""
        self._head(200, _TYPE, "Transfer-Encoding", "chunked")
        try:
            block = bytearray()
            for piece in pieces:
                block += piece.encode()
                if len(block) >= _CHUNK:
                    self._chunk(block)
                    block.clear()
            if block:
                self._chunk(block)
        except OSError:
            raise  # the client hung up
        except Exception as error:
            self._failed(error)
            raise
        self._chunk(b"")

    def _chunk(self, data: bytes | bytearray) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), bytes(data)))

    def _failed(self, error: Exception) -> None:
        from mngdb.agent.jobs import log

        log(f"{self.path}: {type(error).__name__}: {error}")

    def _limit(self) -> float:
        """Prometheus says how long it waits; an answer after that is for nobody."""
        try:
            waits = float(self.headers.get("X-Prometheus-Scrape-Timeout-Seconds", "10"))
        except ValueError:
            waits = 10.0
        return max(0.2, min(LIMIT, 0.8 * waits))

    def _answer(self, code: int, kind: str, body: bytes | bytearray) -> None:
        self._head(code, kind, "Content-Length", str(len(body)))
        self.wfile.write(body)

    def _head(self, code: int, kind: str, *more: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header(*more)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Scrapes are no news."""
