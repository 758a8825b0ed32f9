"""The page and all before it, as processes of this machine: the rendered configuration, the real
Traefik, oauth2-proxy, an OpenID provider, a browser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.sync_api import Browser, Error, Page, Response, expect, sync_playwright

from mngdb.model import Access
from mngdb.spec.web import RedisInsight, Sso
from mngdb.targets.compose import web_config
from mngdb.targets.process import tls
from tests import chromium, golang
from tests.conftest import free_port
from tests.npm import node, packages
from tests.web.ask import get

HERE = Path(__file__).parent
IMAGES = HERE.parent / "images"
TRAEFIK = str(Path(sys.executable).parent / "traefik")
PAGE, REALM = "redisinsight.test", "keycloak.test"
# the machine may be doing much else
PATIENCE = 120_000
expect.set_options(timeout=PATIENCE)
PERSON = {"email": "ada@example.test", "preferred_username": "ada"}


#: Where the browser is when it gave up.
ERROR_PAGE = "chrome-error://"


def visit(tab: Page, url: str) -> Response | None:
    """Open a page. A browser gives up when an interface comes or goes, as Docker's do."""
    for _ in range(10):
        try:
            return tab.goto(url)
        except Error as error:
            if not any(word in error.message for word in ("ERR_NETWORK_CHANGED", ERROR_PAGE)):
                raise
    return tab.goto(url)


@dataclass
class Setup:
    """The running parts. `stop` and `start` take a part's name."""

    folder: Path
    port: int
    parts: dict[str, Part] = field(default_factory=dict)
    ready: dict[str, int] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://{PAGE}:{self.port}"

    def start(self, name: str) -> None:
        """Start a part and wait until it listens."""
        part, given = self.parts[name], self.folder / f"{name}.stdin"
        given.write_text(part.stdin)
        with given.open() as source, (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                part.command,
                stdin=source,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], **part.env},
            )
        deadline = time.monotonic() + part.patience
        while not listens(self.ready[name]):
            text = (self.folder / f"{name}.log").read_text()
            assert self.running[name].poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)

    def stop(self, name: str) -> None:
        """Stop a part."""
        process = self.running.pop(name)
        process.terminate()
        try:
            process.wait(120)
        finally:
            process.kill()

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, host: str = PAGE
    ) -> tuple[int, dict[str, str], str]:
        """A request as a stranger sends it, the certificate verified: status, headers, body."""
        return get(str(self.folder / "tls/ca.crt"), self.port, path, headers, host)


def listens(port: int) -> bool:
    """Whether somebody takes connections at a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Part:
    """A process to run."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    stdin: str = ""
    patience: float = 180.0
    """Seconds that it may take until it listens, on a machine that does much else."""


#: Issuer, port and the client's secret to the process that is the realm.
Realm = Callable[[str, int, str], Part]


def oidc_provider(issuer: str, port: int, secret: str) -> Part:
    """npm's oidc-provider as the realm."""
    client = {
        "client_id": "mngdb",
        "client_secret": secret,
        "redirect_uris": [
            issuer.partition("/realms/")[0].replace(REALM, PAGE) + "/oauth2/callback"
        ],
        "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["authorization_code", "refresh_token"],
    }
    return Part(
        [str(node()), str(HERE / "realm.mjs"), str(packages()), str(port), issuer],
        stdin=json.dumps({"client": client, "person": PERSON, "roles": ["redis-admin"]}),
    )


@contextmanager
def setup(
    folder: Path, redis: Access, realm: Realm = oidc_provider, roles: tuple[str, ...] = ()
) -> Iterator[Setup]:
    """All parts, running, for a Redis of the local target."""
    ports = {name: free_port() for name in ("entry", "ping", "login", "insight", "realm")}
    page = Setup(folder, ports["entry"])
    issuer = f"https://{REALM}:{page.port}/realms/mng"
    sso = Sso(
        issuer=issuer, inside=f"http://127.0.0.1:{ports['realm']}", route=True, roles=list(roles)
    )
    insight = RedisInsight(url=page.url, accept_terms=True)
    at = web_config.Places(
        page=f"http://127.0.0.1:{ports['insight']}",
        login=f"http://127.0.0.1:{ports['login']}",
        login_listens=f"127.0.0.1:{ports['login']}",
        entry=f"127.0.0.1:{page.port}",
        ping=f"127.0.0.1:{ports['ping']}",
        dynamic=str(folder / "routes"),
        secrets=str(folder),
        proxies=("127.0.0.0/8",),
    )
    (folder / "routes").mkdir()
    (folder / "tls").mkdir()
    tls.ensure_ca(folder / "tls", "mng")
    certificate, key = tls.certificate(folder / "tls", [PAGE, REALM])
    files = {
        "traefik.yml": web_config.traefik(at),
        "routes/redisinsight.yml": web_config.routes(sso, insight, at),
        "oauth2-proxy.cfg": web_config.oauth2_proxy(sso, insight, at),
        "connections.json": web_config.connections({"mng-redis": redis}, ca=""),
        "redisinsight.crt": certificate,
        "redisinsight.key": key,
        "sso_client": "client-secret-of-a-test-0123456789",
        "sso_cookie": web_config.cookie_key("cookie-secret-of-a-test"),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    page.parts = {
        "realm": realm(issuer, ports["realm"], files["sso_client"]),
        "login": Part(
            [str(golang.program("oauth2-proxy")), f"--config={folder / 'oauth2-proxy.cfg'}"]
        ),
        "insight": Part(
            [str(node()), str(IMAGES / "redisinsight/main.mjs")],
            {
                "RI_ACCEPT_TERMS_AND_CONDITIONS": "true",
                "RI_PRE_SETUP_DATABASES_PATH": str(folder / "connections.json"),
                "RI_ENCRYPTION_KEY": "key-of-a-test",
                "RI_APP_HOST": "127.0.0.1",
                "RI_APP_PORT": str(ports["insight"]),
                "RI_APP_FOLDER_ABSOLUTE_PATH": str(folder),
            },
        ),
        "traefik": Part([TRAEFIK, f"--configFile={folder / 'traefik.yml'}"]),
    }
    page.ready = {
        "realm": ports["realm"],
        "login": ports["login"],
        "insight": ports["insight"],
        "traefik": page.port,
    }

    def ended(name: str) -> None:
        if name in page.running:
            page.stop(name)

    with ExitStack() as stack:
        for name in page.parts:
            stack.callback(ended, name)
            page.start(name)
        _routed(page)
        yield page


def _routed(page: Setup) -> None:
    """Wait until Traefik, which listens before that, has read its routes."""
    deadline = time.monotonic() + 180
    while True:
        try:
            status = page.get("/")[0]
        except OSError:
            status = 0
        if status == 302:
            return
        assert time.monotonic() < deadline, (page.folder / "traefik.log").read_text()
        time.sleep(0.05)


@contextmanager
def browser(
    certificate: Path, program: Path | None = None, host: str = "127.0.0.1"
) -> Iterator[Browser]:
    """Chromium, which takes the page's very certificate and finds its names at `host`. `program`
    starts it where it is to run elsewhere."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    pin = hashlib.sha256(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=program or chromium.program(),
            args=[
                "--no-sandbox",
                f"--host-resolver-rules=MAP *.test {host}, MAP * ~NOTFOUND, EXCLUDE {host}",
                f"--ignore-certificate-errors-spki-list={base64.b64encode(pin.digest()).decode()}",
            ],
            env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": chromium.libraries()},
        )
        try:
            yield found
        finally:
            found.close()


def stranger(browser: Browser) -> Page:
    """A tab of somebody who was never here before, and who is patient."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    return context.new_page()


def seen(page: Any) -> dict[str, Any]:
    """What the page in RedisInsight's place shows."""
    found: dict[str, Any] = json.loads(page.locator("#seen").inner_text())
    return found
