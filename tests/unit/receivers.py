"""A mail server and a web server on loopback that keep what they are sent."""

from __future__ import annotations

import email
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.conftest import free_port


@dataclass
class Mailbox:
    """What arrived by mail."""

    port: int
    mails: list[Message] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, _: SMTP, __: Session, envelope: Envelope
    ) -> str:
        """Keep a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(email.message_from_bytes(content, policy=default))
        return "250 kept"

    def texts(self) -> list[str]:
        """Subject and body of each mail."""
        return [f"{mail['Subject']}\n{_text(mail)}" for mail in self.mails]


def _text(mail: Any) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


@contextmanager
def mailbox(tls: ssl.SSLContext | None = None, password: str | None = None) -> Iterator[Mailbox]:
    """A mail server; with `tls` it asks for STARTTLS, with `password` for a login."""
    box = Mailbox(free_port())

    def login(*arguments: Any) -> AuthResult:
        found = arguments[-1]
        assert isinstance(found, LoginPassword)
        box.logins.append((found.login.decode(), found.password.decode()))
        return AuthResult(success=found.password.decode() == password, handled=False)

    more: dict[str, Any] = {}
    if tls is not None:
        more = {"tls_context": tls, "require_starttls": True}
    if password is not None:
        more |= {"authenticator": login, "auth_required": True}
    controller = Controller(box, "127.0.0.1", box.port, ready_timeout=60, **more)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@dataclass
class Hook:
    """What arrived at a web server. `status` is what it answers."""

    url: str
    status: int = 200
    bodies: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)

    def alerts(self) -> list[tuple[str, str]]:
        """Status and name of each alert, in the order in which they came."""
        return [
            (alert["status"], alert["labels"]["alertname"])
            for body in self.bodies
            for alert in body["alerts"]
        ]


@contextmanager
def hook() -> Iterator[Hook]:
    """A web server that takes JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            found.bodies.append(json.loads(self.rfile.read(length)))
            found.paths.append(self.path)
            found.headers.append(self.headers)
            self.send_response(found.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Hook(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
