"""A small HTTP server for pages that are made anew each time: GET, fixed paths, time limits."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

#: Makes a page, piece by piece, given the seconds that it may take.
Page = Callable[[float], Iterable[str]]

#: What `exposition` makes.
_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PLAIN = "text/plain; charset=utf-8"
#: Seconds for a page when the client does not say how long it waits. Prometheus waits for ten.
LIMIT = 5.0
#: A client may take this many seconds for its request and the answer together, beyond the page.
_CLIENT = 10.0
_CONNECTIONS = 32
#: Bytes that are sent at a time.
_CHUNK = 1 << 16


class Web(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves `pages` (path to page) in a thread for each request."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        """Listens at once. Raises OSError."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.pages = pages
        self._open: dict[Any, float] = {}
        self._guard = threading.Lock()
        super().__init__((host, port), _Handler)

    def start(self) -> None:
        """Serve until `shutdown`."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """One more thread, unless there are too many."""
        with self._guard:
            full = len(self._open) >= _CONNECTIONS
            if not full:
                self._open[request] = time.monotonic() + LIMIT + _CLIENT
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

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
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it went by itself

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error; a page that fails has been told by the handler."""


class _Handler(BaseHTTPRequestHandler):
    server: Web
    timeout = _CLIENT
    protocol_version = "HTTP/1.1"
    server_version = "mngdb"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a page, or say which there are."""
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            pages = "\n".join(self.server.pages)
            self._answer(404, _PLAIN, f"there are:\n{pages}\n".encode())
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
