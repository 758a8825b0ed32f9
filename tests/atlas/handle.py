"""How tests start an Atlas, look at it and have it fail."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT, free_port

#: Clusters that one Atlas may have at a time.
_CLUSTERS = 12


@dataclass
class Handle:
    """A running Atlas. `organization` is the id of the one that it has at first;
    `account` (client id and secret) and `key` (public and private) own that."""

    url: str
    ca: Path
    client: httpx.Client
    organization: str = ""
    account: tuple[str, str] = ("", "")
    key: tuple[str, str] = ("", "")
    _seen: int = field(default=0)

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs: trust, and the service account."""
        names = ("MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET")
        return {"SSL_CERT_FILE": str(self.ca), **dict(zip(names, self.account, strict=True))}

    @property
    def environment_of_key(self) -> dict[str, str]:
        """The same with the API key."""
        names = ("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY")
        return {"SSL_CERT_FILE": str(self.ca), **dict(zip(names, self.key, strict=True))}

    def do(self, verb: str, **given: Any) -> Any:
        """What `app.py` does for tests: its `do_*`."""
        done = self.client.post("/_/", json={"do": verb, **given})
        assert done.status_code == 200, done.text
        return done.json()

    # --- what happened

    def requests(self, since: int | None = None) -> list[dict[str, Any]]:
        """Requests since the last time that somebody asked, or since one of that number: method,
        path, operation, status (0: the connection was cut) and seconds."""
        found: list[dict[str, Any]] = self.do("log", since=self._seen if since is None else since)[
            "requests"
        ]
        self._seen = (self._seen if since is None else since) + len(found)
        return found

    def writes(self) -> list[str]:
        """Operations since the last time that change something."""
        return [
            one["operation"]
            for one in self.requests()
            if one["method"] != "GET" and one["operation"] != "token"
        ]

    def violations(self) -> list[str]:
        """Requests and answers that the specification does not allow."""
        found: list[str] = self.do("log", since=1 << 60)["violations"]
        return found

    # --- how it behaves

    def speed(self, seconds: float | None = None, **kinds: float) -> None:
        """How long a state takes; of one kind: cluster, user, service, endpoint, peer, snapshot,
        restore."""
        self.do("speed", seconds=seconds, kinds=kinds)

    def advance(self, seconds: float | None = None) -> None:
        """Let time pass; without a number, as long as all states take that go on."""
        self.do("advance", seconds=seconds)

    def moment(self, ahead: float = 0) -> str:
        """The time in there, so many seconds ahead, as Atlas writes it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.do("now") + ahead))

    def fail(self, operation: str = "*", **fault: Any) -> None:
        """Have requests fail: see `faults.Fault`."""
        self.do("fail", operation=operation, **fault)

    def heal(self) -> None:
        """Let nothing fail any more."""
        self.do("heal")

    def disorder(self, seed: int) -> None:
        """From now on answers have lists in any order and fields that nobody knows."""
        self.do("disorder", seed=seed)

    def limit(self, requests: int | None = None, tokens: int | None = None) -> None:
        """How many requests of an operation, and how many tokens, there may be in a minute."""
        self.do("limit", requests=requests, tokens=tokens)

    def lack(self, region: str, tier: str) -> None:
        """A region does not have a tier."""
        self.do("lack", region=region, tier=tier)

    def doom(self, *kinds: str) -> None:
        """What begins from now on of these kinds fails in the end: service, endpoint, peer,
        snapshot, restore."""
        self.do("doom", kinds=kinds)

    def expire_tokens(self) -> None:
        """Every token ends now."""
        self.do("expire", tokens=True, client="")

    def expire_secret(self) -> None:
        """The service account's secrets end now."""
        self.do("expire", tokens=False, client=self.account[0])

    # --- who may do what

    def add_account(
        self, *organizations: str, roles: tuple[str, ...] = ("ORG_OWNER",)
    ) -> tuple[str, str]:
        """Another service account."""
        made = self.do("account", organizations=organizations, roles=roles, name="another")
        return made[0], made[1]

    def add_key(
        self, *organizations: str, roles: tuple[str, ...] = ("ORG_OWNER",)
    ) -> tuple[str, str]:
        """Another API key."""
        public, private = secrets.token_hex(4), secrets.token_hex(16)
        self.do("key", organizations=organizations, roles=roles, public=public, private=private)
        return public, private

    def add_organization(self, name: str) -> str:
        """Another organisation; its id."""
        return str(self.do("organization", name=name))


@contextmanager
def atlas(speed: float = 0.02, aws: str | None = None) -> Iterator[Handle]:
    """Start one; its states take `speed` seconds, and `aws` is where its EC2 is (none: it takes
    every endpoint for a real one). Fails at the end if the contract was violated."""
    folder = Path(tempfile.mkdtemp(prefix="mngdb-atlas-"))
    port = free_port()
    settings = {"folder": str(folder), "port": port, "speed": speed, "aws": aws}
    settings["ports"] = [free_port() for _ in range(_CLUSTERS)]
    log = (folder / "atlas.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.atlas"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n", (folder / "atlas.log").read_text()
        trusted = ssl.create_default_context(cafile=folder / "ca.pem")
        url = f"https://localhost:{port}"
        with httpx.Client(base_url=url, verify=trusted, timeout=60) as client:
            made = Handle(url, folder / "ca.pem", client)
            made.organization = made.add_organization("Tests")
            made.account = made.add_account(made.organization)
            made.key = made.add_key(made.organization)
            yield made
            violated = made.violations()
            assert not violated, "\n".join(violated)
        problems = (folder / "atlas.log").read_text()
        assert "Traceback" not in problems, problems
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        log.close()
        for left in folder.glob("*.pid"):
            with suppress(OSError):
                os.kill(int(left.read_text()), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
