"""What every request goes through: faults, login, contract, log.

An ASGI application around the resources, because a connection has to be cut in the midst.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.atlas.contract import Contract, Operation
from tests.atlas.errors import MEDIA_TYPE, AtlasError
from tests.atlas.faults import Fault, Faults
from tests.atlas.login import Logins
from tests.atlas.world import Document, World, new_id

Headers = dict[str, str]
App = Callable[[Any, Any, Any], Awaitable[None]]
Control = Callable[[Document], Any]
_UNLIMITED = 1_000_000


class Dropped(Exception):  # noqa: N818 — it is no error
    """The connection is cut."""


class Gate:
    """`inner` has the resources, `control` does what tests ask for at `/_/`."""

    def __init__(
        self,
        inner: App,
        world: World,
        logins: Logins,
        faults: Faults,
        control: Control,
        contract: Contract,
    ) -> None:
        self._inner, self._world, self._logins, self._faults = inner, world, logins, faults
        self._control = control
        self._contract = contract
        self.log: list[Document] = []
        self.violations: list[str] = []
        self._recent: dict[str, list[float]] = {}
        #: Requests that are let through in a minute, for each operation.
        self.limit = _UNLIMITED

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return  # a client that was killed sends half a request, which nobody answers
        path = scope["raw_path"].decode()
        if path == "/_/":
            done = self._control(json.loads(body))
            await _send(send, 200, {"Content-Type": "application/json"}, json.dumps(done).encode())
            return
        self._world.settle()
        entry = {"method": scope["method"], "path": path, "operation": "", "status": 0}
        entry["number"] = len(self.log)
        self.log.append(entry)
        begun = time.monotonic()
        try:
            status, headers, answer = await self._answer(scope, body, path, entry)
        except Dropped:
            # uvicorn's own: a server has no other way to hang up without an answer
            receive.__self__.transport.abort()
            return
        finally:
            entry["seconds"] = round(time.monotonic() - begun, 6)
        entry["status"] = status
        name = entry["operation"] or "unknown"
        standard = {
            "X-Java-Method": f"ApiAtlas::{name}",
            "X-Request-Id": new_id(),
            "X-MongoDB-Service-Version": "gitHash=0; versionString=tests",
            "Strict-Transport-Security": "max-age=31536000; includeSubdomains;",
        }
        await _send(send, status, {**standard, **headers}, answer)

    async def _answer(
        self, scope: Any, body: bytes, path: str, entry: Document
    ) -> tuple[int, Headers, bytes]:
        sent = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        try:
            if path == "/api/oauth/token":
                return await self._token(sent, body, entry)
            return await self._resource(scope, sent, body, path, entry)
        except AtlasError as error:
            asked = {"WWW-Authenticate": self._logins.challenge()} if error.status == 401 else {}
            return _refusal(error, asked)

    async def _resource(
        self, scope: Any, sent: Headers, body: bytes, path: str, entry: Document
    ) -> tuple[int, Headers, bytes]:
        method, query = scope["method"], scope["query_string"].decode()
        operation = self._contract.operation(method, path)
        entry["operation"] = operation.name if operation else ""
        fault = self._faults.next(entry["operation"], method)
        if fault:
            await asyncio.sleep(fault.slow)
            self._drop(fault, "before", entry)
        target = f"{path}?{query}" if query else path
        scope["actor"] = self._logins.actor(sent.get("authorization", ""), method, target)
        if operation is None:
            raise AtlasError(404, "RESOURCE_NOT_FOUND", f"Cannot find resource {path}.", path)
        kind = sent.get("content-type", "")
        if wrong := self._contract.request(operation, method, path, query, body, kind):
            raise self._violation(f"request: {wrong}")
        if not sent.get("accept", "").startswith("application/vnd.atlas."):
            raise AtlasError(406, "INVALID_VERSION_DATE", "The Accept header names no version.")
        if fault and fault.status:
            return _refused(fault)
        self._count(operation)
        status, answer = await self._run(scope, body)
        kind = MEDIA_TYPE if status < 400 else "application/json"
        if wrong := self._contract.answer(operation, method, path, status, answer, kind):
            raise self._violation(f"answer: {wrong}")
        if fault:
            self._drop(fault, "after", entry)
        if answer:
            answer = json.dumps(self._faults.mix(json.loads(answer))).encode()
        limits = {"RateLimit-Limit": str(self.limit), "RateLimit-Remaining": str(self.limit)}
        shown = {"Content-Type": f"{kind};charset=utf-8"} if answer else {}
        return status, {**shown, **limits}, answer

    async def _token(
        self, sent: Headers, body: bytes, entry: Document
    ) -> tuple[int, Headers, bytes]:
        entry["operation"] = "token"
        fault = self._faults.next("token", "POST")
        if fault:
            await asyncio.sleep(fault.slow)
            self._drop(fault, "before", entry)
            if fault.status:
                return _refused(fault)
        status, document, headers = self._logins.token(sent.get("authorization", ""), body)
        if fault:
            self._drop(fault, "after", entry)
        kind = {"Content-Type": "application/json"}
        return status, {**kind, **headers}, json.dumps(document).encode()

    @staticmethod
    def _drop(fault: Fault, when: str, entry: Document) -> None:
        if fault.drop == when:
            entry["dropped"] = when
            if fault.kill:
                os.kill(fault.kill, signal.SIGKILL)
            raise Dropped

    def _count(self, operation: Operation) -> None:
        """Refuse what is too much."""
        now = time.monotonic()
        times = [one for one in self._recent.get(operation.name, ()) if now - one < 60]
        if len(times) >= self.limit:
            raise AtlasError(429, "RATE_LIMITED", "Too many requests.")
        self._recent[operation.name] = [*times, now]

    def _violation(self, wrong: str) -> AtlasError:
        self.violations.append(wrong)
        return AtlasError(500, "CONTRACT_VIOLATION", wrong)

    async def _run(self, scope: Any, body: bytes) -> tuple[int, bytes]:
        """Have the resources answer."""
        parts: list[Document] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def collect(message: Any) -> None:
            parts.append(message)

        await self._inner(scope, receive, collect)
        status: int = parts[0]["status"]
        answer: bytes = b"".join(one.get("body", b"") for one in parts[1:])
        return status, answer


def _refused(fault: Fault) -> tuple[int, Headers, bytes]:
    hint = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return _refusal(fault.refusal, hint)


def _refusal(error: AtlasError, more: Headers) -> tuple[int, Headers, bytes]:
    return (
        error.status,
        {"Content-Type": "application/json", **more},
        json.dumps(error.document).encode(),
    )


async def _read(receive: Any) -> bytes | None:
    """The body; None: the client went away before it was whole."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(send: Any, status: int, headers: Headers, body: bytes) -> None:
    length = {} if status == 204 else {"Content-Length": str(len(body))}
    lines = [
        (name.lower().encode(), value.encode()) for name, value in {**headers, **length}.items()
    ]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
