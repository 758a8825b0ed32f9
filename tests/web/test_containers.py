"""The page's services in containers, as they are rendered, on a real Docker engine: reachable
through Traefik alone, and with the rights that they need and no more.

RedisInsight is a stand-in under the official name (tests/images); Traefik, oauth2-proxy, Redis and
the OpenID provider are real.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from mngdb.spec.web import CLIENT_SECRET, COOKIE_SECRET, INSIGHT_SECRET
from tests import chromium
from tests.compose.conftest import module_stack as module_stack
from tests.compose.stacks import ComposeCli
from tests.docker import Engine
from tests.npm import packages
from tests.web import page as parts

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.live]

ISSUER = f"https://{parts.REALM}/realms/mng"
FILE = f"""\
redis: {{memory: 64mb, tls: true}}
apps: {{shop: {{redis: "shop:*"}}}}
sso: {{issuer: {ISSUER}, inside: http://keycloak:8080, route: true, roles: [redis-admin]}}
redisinsight: {{url: "https://{parts.PAGE}", accept_terms: true}}
"""


@dataclass
class Page:
    """The running page."""

    cli: ComposeCli

    @property
    def services(self) -> tuple[str, ...]:
        return "redisinsight", self.cli.unit("oauth2-proxy"), self.cli.unit("traefik")

    @property
    def docker(self) -> Engine:
        return self.cli.docker

    def get(
        self, path: str, headers: dict[str, str] | None = None, host: str = parts.PAGE
    ) -> tuple[int, dict[str, str], str]:
        """A request from the machine that the containers run on."""
        ca = str(self.cli.state / "tls/ca.crt")
        asked = {"ca": ca, "port": 443, "path": path, "host": host, "headers": headers}
        argv = [sys.executable, str(parts.HERE / "ask.py"), json.dumps(asked)]
        done = subprocess.run(
            self.docker.inside(*argv), capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        status, found, body = json.loads(done.stdout)
        return status, found, body

    def inspect(self, name: str) -> Any:
        return json.loads(self.docker.docker("inspect", name))[0]

    def wait(self) -> None:
        """Wait until the page leads to the realm."""
        deadline = time.monotonic() + 180
        while True:
            with contextlib.suppress(AssertionError):
                if self.get("/")[0] == 302:
                    return
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture(scope="module")
def page(module_stack: ComposeCli) -> Iterator[Page]:
    """As a person starts the rendered folder, without mngdb."""
    module_stack.write(FILE)
    module_stack.ok("render", "compose")
    module_stack.compose("up", "-d", "--wait")
    found, docker = Page(module_stack), module_stack.docker
    part = parts.oidc_provider(ISSUER, 8080, module_stack.secret(CLIENT_SECRET))
    given = module_stack.folder / "realm.json"
    given.write_text(part.stdin)
    try:
        docker.docker(
            *("run", "-d", "--name", "keycloak", "--network", module_stack.unit("web")),
            *("-v", f"{packages()}:/modules:ro", "-v", f"{parts.HERE}/realm.mjs:/realm.mjs:ro"),
            *("-v", f"{given}:/realm.json:ro", "mngdb-test-base"),
            *("sh", "-c", f"node /realm.mjs /modules 8080 {ISSUER} < /realm.json"),
        )
        deadline = time.monotonic() + 180
        known = "/realms/mng/.well-known/openid-configuration"
        while found.get(known, host=parts.REALM)[0] != 200:
            assert time.monotonic() < deadline, docker.docker("logs", "keycloak")
            time.sleep(0.2)
        yield found
    finally:
        docker.run("rm", "-f", "keycloak")


@pytest.fixture(scope="module")
def browser(page: Page) -> Iterator[Browser]:
    """In the network of a container, whose interfaces stay: the daemon's come and go with other
    tests' containers, and Chromium then gives up what it is about."""
    program = page.cli.folder / "chromium"
    words = " ".join(page.docker.beside("keycloak", str(chromium.program())))
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    program.chmod(0o755)
    networks = page.inspect("keycloak")["NetworkSettings"]["Networks"]
    gateway = networks[page.cli.unit("web")]["Gateway"]
    with parts.browser(page.cli.state / "tls/page.crt", program, gateway) as found:
        yield found


def test_every_service_is_healthy(page: Page) -> None:
    for name in page.services:
        assert page.inspect(name)["State"]["Health"]["Status"] == "healthy"


def log_in(tab: Tab, url: str) -> None:
    """As a person would: once more when the browser gave up half way (see `parts.visit`)."""
    for _ in range(10):
        if ISSUER in tab.url:
            tab.locator("input[name=login]").fill("ada")
            tab.locator("input[name=password]").fill("a password")
            tab.locator("button[type=submit]").click(no_wait_after=True)
            tab.wait_for_url(re.compile(f"^({re.escape(url)}|{parts.ERROR_PAGE})"))
        if parts.ERROR_PAGE not in tab.url:
            break
        parts.visit(tab, url)
    expect(tab).to_have_title("Redis Insight")


def test_logging_in_opens_the_page_and_signing_out_closes_it(page: Page, browser: Browser) -> None:
    url = f"https://{parts.PAGE}"
    tab = parts.stranger(browser)
    parts.visit(tab, url + "/browser")
    expect(tab).to_have_url(re.compile(re.escape(ISSUER)))
    log_in(tab, url + "/browser")
    assert re.fullmatch(r"8\.\S+", parts.seen(tab)["versions"][page.cli.unit("redis")])
    parts.visit(tab, url + "/oauth2/sign_out")
    expect(tab.locator("input[name=password]")).to_be_visible()
    assert page.get("/")[0] == 302
    tab.context.close()


def test_traefik_alone_publishes_a_port(page: Page) -> None:
    published = {}
    for name in (*page.services, page.cli.unit("redis")):
        ports = page.inspect(name)["NetworkSettings"]["Ports"] or {}
        published[name] = [port for port, at in ports.items() if at]
    assert published.pop(page.cli.unit("traefik")) == ["8443/tcp"]
    assert set(map(tuple, published.values())) == {()}


def test_an_app_of_the_databases_gets_around_no_login(page: Page) -> None:
    """Neither by name nor by address: it shares no network with the page."""
    addresses = [
        network["IPAddress"]
        for name in page.services
        for network in page.inspect(name)["NetworkSettings"]["Networks"].values()
    ]
    assert len(addresses) == 5
    script = (
        f"bash -c 'echo > /dev/tcp/{page.cli.unit('redis')}/6379' && echo the database is there; "
    )
    script += "".join(
        f"(timeout 3 bash -c 'echo > /dev/tcp/{host}/{port}' 2>/dev/null && echo OPEN {host}) & "
        for host in (*page.services, *addresses)
        for port in (5540, 4180, 8443)
    )
    script += "wait"
    said = page.docker.docker(
        *("run", "--rm", "--network", page.cli.unit("db"), "mngdb-test-base", "bash", "-c", script),
        timeout=600,
    )
    assert "the database is there" in said
    assert "OPEN" not in said


def test_no_listing_shows_a_secret(page: Page) -> None:
    listings = [page.cli.compose("config"), page.docker.docker("inspect", *page.services)]
    listings += [page.docker.docker("top", name, "-eo", "pid,args") for name in page.services]
    listings += [page.docker.docker("logs", name) for name in page.services]
    shown = "".join(listings)
    for path in (page.cli.state / "secrets").glob("*_*"):
        assert path.read_text() not in shown
    for name in ("sso_cookie", "redisinsight_connections"):
        assert (page.cli.rendered / "secrets" / name).read_text().strip() not in shown
    key = (page.cli.state / "tls/page.key").read_text().splitlines()[1]
    assert key not in shown


def test_containers_have_no_more_rights_than_they_need(page: Page) -> None:
    for name in page.services:
        found = page.inspect(name)
        host = found["HostConfig"]
        assert found["Config"]["User"] in {"1000:1000", "65532:65532"}
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["ReadonlyRootfs"] is True
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert not [m for m in found["Mounts"] if "docker.sock" in m["Source"]]
        assert host["LogConfig"]["Config"]["max-size"]


@pytest.mark.parametrize(
    ("secret", "how"),
    [
        (INSIGHT_SECRET, "empty"),
        (INSIGHT_SECRET, "unreadable"),
        (COOKIE_SECRET, "empty"),
        (COOKIE_SECRET, "unreadable"),
        (CLIENT_SECRET, "unreadable"),
    ],
)
def test_without_a_secret_a_service_does_not_start(page: Page, secret: str, how: str) -> None:
    """RedisInsight would store passwords as they are; oauth2-proxy would sign with nothing."""
    path = page.cli.rendered / "secrets" / secret
    before = path.read_text()
    service = page.services[0] if secret == INSIGHT_SECRET else page.services[1]
    try:
        path.write_text("") if how == "empty" else path.chmod(0)
        done = page.docker.run(
            *("compose", "run", "--rm", "--no-deps"),
            *(
                "-T",
                service,
                *(["--config=/etc/oauth2-proxy.cfg"] if service != "redisinsight" else []),
            ),
            cwd=page.cli.rendered,
            timeout=300,
        )
    finally:
        path.write_text(before)
        path.chmod(0o400)
    assert done.returncode != 0


@pytest.mark.parametrize("name", ["oauth2-proxy", "redisinsight", "keycloak"])
def test_with_a_container_dead_the_page_is_closed(page: Page, name: str) -> None:
    container = page.cli.unit(name) if name == "oauth2-proxy" else name
    page.docker.docker("kill", container)
    try:
        status, _, body = page.get("/", {"X-Auth-Request-User": "root"})
        assert status == (500 if name == "oauth2-proxy" else 302)
        assert "Redis" not in body
        if name != "keycloak":
            told = page.cli.run_json("doctor")["cause"]
            assert told["text"].startswith(f"{container} is not running (stopped): the page ")
            assert (told["cause"], told["command"]) == ("page", "mngdb up")
    finally:
        page.docker.docker("start", container)
        page.wait()


def steps(page: Page) -> dict[str, str]:
    """The plan: object to action."""
    return {step["object"]: step["action"] for step in page.cli.steps()}


def test_up_takes_the_folder_over_and_says_what_of_it_does_not_start(page: Page) -> None:
    page.cli.ok("up")
    assert steps(page) == {}
    way = page.services[2]
    page.docker.docker("stop", way)
    argv = page.docker.inside(sys.executable, "-u", "-m", "http.server", "443")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as taken:
        try:
            assert taken.stdout is not None
            taken.stdout.readline()
            done = page.cli.run("up")
        finally:
            taken.kill()
    assert done.returncode == 1
    assert f"error: {way}: 0.0.0.0:443 is already in use\n" in done.stderr
    page.cli.ok("up")
    page.wait()


def test_a_change_of_the_login_restarts_the_login_alone(page: Page) -> None:
    page.cli.write(FILE.replace("[redis-admin]", "[redis-owner]"))
    assert steps(page) == {page.services[1]: "restart"}
    page.cli.ok("up")
    assert steps(page) == {}
    page.wait()
    text = (page.cli.rendered / "web/oauth2-proxy.cfg").read_text()
    assert 'allowed_roles = ["redis-owner"]' in text


def test_a_secret_that_a_person_brings_reaches_the_login(page: Page) -> None:
    page.cli.ok("secret", "set", CLIENT_SECRET, stdin="another-client-secret-0123456789")
    assert steps(page) == {page.services[1]: "restart"}
    page.cli.ok("up")
    assert steps(page) == {}
    mounted = page.cli.rendered / "secrets" / CLIENT_SECRET
    assert mounted.read_text() == "another-client-secret-0123456789"


def test_a_page_that_left_the_file_is_gone(page: Page) -> None:
    page.docker.run("rm", "-f", "keycloak")
    page.cli.write(FILE[: FILE.index("sso:")])
    assert {page.services[2]: "stop", "redisinsight": "stop"}.items() <= steps(page).items()
    page.cli.ok("up")
    assert steps(page) == {}
    running = page.docker.docker("ps", "--format", "{{.Names}}").split()
    assert not set(page.services) & set(running)
    with pytest.raises(AssertionError, match="Connection refused"):
        page.get("/")
