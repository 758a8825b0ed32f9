"""An Atlas in this process, with nothing behind its clusters: for tests that look at every request
of many commands. Those run in this process, too."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import unquote

import httpx
import pytest

from mngdb import stopping
from mngdb.engines.mongodb import MongodbEngine, facts
from mngdb.model import Vitals
from mngdb.ops import down, plan, up
from mngdb.ops.context import Context
from mngdb.ops.plan import Plan
from mngdb.snapshot import Taken, Trial
from mngdb.spec.load import load
from mngdb.targets.atlas import api, aws, journal, target
from mngdb.words import COSTS
from tests.atlas.app import Atlas
from tests.atlas.certificates import Certificates
from tests.atlas.contract import Contract
from tests.atlas.ec2 import Ec2
from tests.atlas.errors import MEDIA_TYPE
from tests.atlas.mongod import Mongod
from tests.atlas.world import Document, World

_TOKEN = "/api/oauth/token"
#: More than anything takes that goes on at once.
_PATIENCE = 60.0


class Killed(BaseException):
    """Ends a command as SIGKILL does: nothing that it sends from then on arrives."""


class NoServer(Mongod):
    """Takes everything, and holds nothing."""

    def start(self) -> None:
        self.client = MagicMock()

    def stop(self) -> None:
        self.client = None

    def kill(self) -> None:
        self.client = None


class Trusting(Contract):
    """Finds nothing wrong, which takes most of a request's time: other tests send the same."""

    def _find_problems(self, *_: object) -> str:
        return ""


class _Exchange:
    """A request as the application sees it, and its answer; `transport` is for who hangs up."""

    def __init__(self, body: bytes) -> None:
        self.transport, self._body = self, body
        self.parts: list[Document] = []
        self.cut = False

    def abort(self) -> None:
        self.cut = True

    async def receive(self) -> Document:
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: Document) -> None:
        self.parts.append(message)


class Inside(httpx.BaseTransport):
    """What requests go through. `writes` are those that changed something, as method and path."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        ports = list(range(1024, 65_536))
        settings = {"folder": str(folder), "speed": 0.0, "aws": None, "ports": ports}
        self.atlas = Atlas(settings, Certificates(folder, folder), NoServer, Trusting)
        self.organization = self.atlas.do_organization("Tests")
        self.account = self.atlas.do_account([self.organization], ["ORG_OWNER"], "tests")
        self.atlas.do_limit(None, 1_000_000)
        self.ec2 = Ec2(self._accept)
        self.writes: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        """Called before a write is done."""
        self._point: tuple[int, str] | None = None
        self._but = ""
        self._dead = False
        self._guard = threading.Lock()
        self._token = ""

    @property
    def world(self) -> World:
        """All that there is."""
        return self.atlas.world

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs."""
        names = ("MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET")
        return {"MNGDB_ATLAS_PACE": "0", **dict(zip(names, self.account, strict=True))}

    def kill(self, number: int, when: str, but: str = "") -> None:
        """Kill the command `before` or `after` its write of this number, from now on. One that
        begins with the write `but`, as it has to be done again, is killed at the next one."""
        self._point, self._but = (len(self.writes) + number, when), but

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Round a command: it may be killed, and the next one is not."""
        try:
            with suppress(Killed):
                yield
        finally:
            self._dead, self._point = False, None
            stopping._asked.clear()  # the process goes on

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        write = request.method != "GET" and path != _TOKEN
        with self._guard:
            self._check()
            if write:
                self._put_off(f"{request.method} {path}")
                self._reached(len(self.writes) + 1, "before")
                self.before(path)
                self.writes.append(f"{request.method} {path}")
            number = len(self.writes)
        answer = self._send(request)
        if write:
            self._reached(number, "after")
        return answer

    def _put_off(self, write: str) -> None:
        if self._point is not None and write == self._but:
            self._point = (self._point[0] + 1, self._point[1])
        self._but = ""

    def _check(self) -> None:
        if self._dead:
            raise Killed

    def _reached(self, number: int, when: str) -> None:
        self._dead = self._dead or (number, when) == self._point
        self._check()

    def _send(self, request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.partition(b"?")
        exchange = _Exchange(request.read())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "https",
            "method": request.method,
            "path": unquote(path.decode()),
            "raw_path": path,
            "query_string": query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": ("localhost", 443),
        }
        done = self.atlas.application(scope, exchange.receive, exchange.send)
        asyncio.run_coroutine_threadsafe(done, self._loop).result(_PATIENCE)
        if exchange.cut:
            raise httpx.ReadError("the connection was cut")
        begun, *rest = exchange.parts
        content = b"".join(one.get("body", b"") for one in rest)
        return httpx.Response(begun["status"], headers=begun["headers"], content=content)

    # --- by hand

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request by a person to a path below /api/atlas/v2; the answer's document, None where it
        was refused."""
        if not self._token:
            login = base64.b64encode(":".join(self.account).encode()).decode()
            form = {"grant_type": "client_credentials"}
            headers = {"Authorization": f"Basic {login}"}
            asked = httpx.Request("POST", f"https://x{_TOKEN}", data=form, headers=headers)
            self._token = self._send(asked).json()["access_token"]
        headers = {"Accept": MEDIA_TYPE, "Authorization": f"Bearer {self._token}"}
        headers |= {} if body is None else {"Content-Type": MEDIA_TYPE}
        url = f"https://x/api/atlas/v2{path}"
        answer = self._send(httpx.Request(method, url, json=body, headers=headers))
        return (answer.json() if answer.content else {}) if answer.is_success else None

    def stamp(self, moment: float) -> str:
        """A moment in seconds since 1970, as Atlas writes it."""
        return self.world.stamp(datetime.fromtimestamp(moment, UTC))

    def empty(self) -> None:
        """Begin anew: no projects, nothing in AWS."""
        self.settle()
        self.world.projects.clear()
        self.ec2.endpoints.clear()
        self.ec2.routes.clear()
        self.atlas.do_heal()
        self.writes.clear()

    def settle(self) -> None:
        """Let everything end that goes on."""

        async def work() -> bool:
            self.world.settle(everything=True)
            return self.world.settled

        while not asyncio.run_coroutine_threadsafe(work(), self._loop).result(_PATIENCE):
            time.sleep(0.001)

    def _accept(self, connection: str) -> None:
        """The owner of a VPC accepts a peering."""

        async def work() -> None:
            for project in self.world.projects.values():
                for peer in project.peers.values():
                    if peer.get("connectionId") == connection:
                        self.atlas.do_accept(project.id, peer["id"])

        asyncio.run_coroutine_threadsafe(work(), self._loop).result(_PATIENCE)

    def close(self) -> None:
        """End its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass
class Stack:
    """A stack in such an Atlas. Each command opens it anew, as a process of its own would."""

    folder: Path
    inside: Inside

    def write(self, text: str) -> None:
        """Write its file."""
        (self.folder / "mngdb.yaml").write_text(f"{text}\nagent: false\n")

    def context(self) -> Context:
        """It, opened."""
        environ = {**os.environ, **self.inside.environment}
        return Context.open(load([self.folder / "mngdb.yaml"], environ), environ)

    def plan(self, *allow: str) -> Plan:
        return plan.plan(self.context(), frozenset(allow))

    def up(self, *allow: str) -> up.Report:
        """`up --yes`, with `--allow` for these."""
        return up.up(self.context(), frozenset({COSTS, *allow}), lambda _: None)

    def destroy(self) -> None:
        context = self.context()
        down.destroy(context, context.stack.name, lambda _: None)


@contextmanager
def in_process(folder: Path) -> Iterator[Inside]:
    """An Atlas for commands of this process, whose databases are taken to be as they should."""
    found = Inside(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, "Api", partial(api.Api, transport=found))
        patch.setattr(aws, "Aws", found.ec2.opened)
        patch.setattr(journal, "_digest", lambda salt, secret: f"{salt}{secret.reveal()}")
        for name, work in _DATABASE.items():
            patch.setattr(MongodbEngine, name, work)
        yield found
    found.close()


@contextmanager
def _connected(*_: object) -> Iterator[None]:
    yield


_DATABASE: dict[str, Any] = {
    "connect": _connected,
    "observe": lambda self, session, asked: facts.initial(asked),
    "vitals": lambda self, session: Vitals("8.0", 1.0, "MongoDB", "primary"),
    "describe": lambda self, session: Taken(
        kind="full", product="MongoDB", version="8.0", source="", position={}
    ),
    "prove": lambda self, session, asked, taken: (Trial("all", True, "there"),),
    "diagnose": lambda self, access, asked, app: None,
    "caveats": lambda self, session, taken: (),
}
