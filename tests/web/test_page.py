"""RedisInsight's page behind Traefik and a login, in Chromium: closed to strangers whatever happens
to the parts behind it.

Real: Traefik, oauth2-proxy, Chromium, Redis, the rendered configuration, the OpenID provider (npm's
oidc-provider with Keycloak's paths; test_keycloak.py has Keycloak itself). A stand-in:
RedisInsight, whose image is not to be had here.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from mngdb.model import Access
from mngdb.secret import Secret
from tests import golang
from tests.conftest import Cli
from tests.web import page as parts

pytestmark = [pytest.mark.live, pytest.mark.browser]

FORGED = {
    "X-Auth-Request-User": "root",
    "X-Auth-Request-Email": "root@example.test",
    "X-Forwarded-User": "root",
    "X-Forwarded-Email": "root@example.test",
    "X-Forwarded-Preferred-Username": "root",
    "X-Forwarded-Access-Token": "ey.ey.ey",
    "X-Forwarded-Uri": "/ping",
    "X-Forwarded-Host": "evil.test",
    "X-Auth-Request-Redirect": "https://evil.test/",
    "Authorization": "Bearer ey.ey.ey",
    "Remote-User": "root",
    "X_Auth_Request_User": "root",
    "X_Forwarded_User": "root",
    "Cookie": "__Host-mngdb=forged; __Host-mngdb_0=forged; _oauth2_proxy=forged",
}


@pytest.fixture(scope="module")
def redis(module_cli: Cli) -> Access:
    module_cli.write("redis: {port: PORT1}\n")
    module_cli.ok("up")
    secret = (module_cli.state / "secrets/redis_admin").read_text()
    return Access("redis", "127.0.0.1", module_cli.port(1), "admin", Secret(secret))


@pytest.fixture(scope="module")
def setup(redis: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[parts.Setup]:
    with parts.setup(tmp_path_factory.mktemp("page"), redis) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(setup: parts.Setup) -> Iterator[Browser]:
    with parts.browser(setup.folder / "redisinsight.crt") as found:
        yield found


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    """A browser that was never here before."""
    found = parts.stranger(chromium)
    yield found
    found.context.close()


def login(tab: Page, url: str) -> None:
    """Open the page, which leads to the realm's login, and log in there."""
    parts.visit(tab, url)
    expect(tab).to_have_url(re.compile(rf"https://{parts.REALM}:\d+/realms/mng/"))
    tab.locator("input[name=login]").fill("ada")
    tab.locator("input[name=password]").fill("a password")
    tab.locator("button[type=submit]").click()
    expect(tab).to_have_title("Redis Insight")


def test_a_stranger_is_sent_to_the_realm_and_sees_nothing(setup: parts.Setup) -> None:
    status, headers, body = setup.get("/browser?x=1")
    assert status == 302
    assert headers["Location"].startswith(
        f"https://{parts.REALM}:{setup.port}/realms/mng/protocol/openid-connect/auth?"
    )
    assert "code_challenge_method=S256" in headers["Location"]
    assert "Redis" not in body
    cookie = headers["Set-Cookie"]
    assert cookie.startswith("__Host-mngdb_csrf=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
    assert "domain=" not in cookie.lower()


def test_what_scripts_fetch_is_refused_and_not_redirected(setup: parts.Setup) -> None:
    for path in ("/api/databases", "/socket.io/?EIO=4"):
        assert setup.get(path)[0] == 401


def test_logged_in_sees_the_page_with_the_connection_preset(setup: parts.Setup, tab: Page) -> None:
    login(tab, setup.url + "/browser?x=1")
    assert tab.url == setup.url + "/browser?x=1"
    seen = parts.seen(tab)
    assert re.fullmatch(r"8\.\d+\.\d+", seen["versions"]["mng-redis"])
    assert seen["headers"]["x-auth-request-email"] == parts.PERSON["email"]


def test_logged_out_is_closed_again(setup: parts.Setup, tab: Page) -> None:
    login(tab, setup.url)
    parts.visit(tab, setup.url + "/oauth2/sign_out")
    # the realm's own session has ended too: it asks for the password again
    expect(tab.locator("input[name=password]")).to_be_visible()
    assert not session_of(tab, setup.url)
    parts.visit(tab, setup.url)
    expect(tab.locator("input[name=password]")).to_be_visible()


def test_a_forged_header_gets_nothing(setup: parts.Setup) -> None:
    for name, value in FORGED.items():
        status, headers, body = setup.get("/", {name: value})
        assert status == 302, name
        assert f"https://{parts.REALM}:" in headers["Location"]
        assert "evil" not in headers["Location"]
        assert "Redis" not in body
        assert setup.get("/api/databases", {name: value})[0] == 401
    assert setup.get("/", FORGED)[0] == 302


def test_a_forged_header_of_somebody_logged_in_is_not_believed(
    setup: parts.Setup, tab: Page
) -> None:
    login(tab, setup.url)
    tab.set_extra_http_headers({k: v for k, v in FORGED.items() if k not in {"Cookie"}})
    parts.visit(tab, setup.url)
    headers = parts.seen(tab)["headers"]
    assert headers["x-auth-request-email"] == parts.PERSON["email"]
    assert headers["x-auth-request-user"] != "root"
    assert headers["x-forwarded-host"] == f"{parts.PAGE}:{setup.port}"
    for name in ("x-forwarded-user", "x-forwarded-email", "authorization", "remote-user"):
        assert name not in {found.replace("_", "-") for found in headers}
    assert not {name for name in headers if "_" in name}


def test_after_the_login_nobody_is_led_to_another_site(setup: parts.Setup, tab: Page) -> None:
    for asked in ("https://evil.test/", "//evil.test/", "/\\evil.test/"):
        tab.context.clear_cookies()
        login(tab, f"{setup.url}/oauth2/start?rd={asked}")
        assert tab.url.startswith(setup.url + "/")


def test_another_host_name_is_no_way_in(setup: parts.Setup) -> None:
    assert setup.get("/", {"Host": "other.test"})[0] == 404
    with pytest.raises(OSError, match=r"(?i)tls|ssl|unrecognized|certificate"):
        setup.get("/", host="other.test")


def test_a_path_that_could_be_read_in_two_ways_is_refused(setup: parts.Setup) -> None:
    for path in ("/x%2f..%2fapi", "/a%00", "/a%5cb", "/%25"):
        assert setup.get(path)[0] == 400


def test_security_headers_are_on_every_answer_of_the_page(setup: parts.Setup, tab: Page) -> None:
    login(tab, setup.url)
    answer = parts.visit(tab, setup.url)
    assert answer is not None
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("part", ["realm", "login", "insight"])
def test_with_a_part_dead_the_page_is_closed_and_heals(
    setup: parts.Setup, tab: Page, part: str
) -> None:
    setup.stop(part)
    try:
        status, _, body = setup.get("/")
        # without the realm the login leads to an error, without oauth2-proxy nothing answers
        assert status == (500 if part == "login" else 302)
        assert setup.get("/", FORGED)[0] == status
        assert "Redis" not in body
        if part == "realm":
            answer = parts.visit(tab, setup.url)
            assert answer is not None
            assert answer.status == 502
            assert answer.url.startswith(f"https://{parts.REALM}:")
    finally:
        setup.start(part)
    login(tab, setup.url)


@pytest.mark.parametrize(("role", "opened"), [("redis-admin", True), ("redis-owner", False)])
def test_where_the_file_asks_for_a_role_a_login_alone_is_not_enough(
    setup: parts.Setup, tab: Page, role: str, opened: bool
) -> None:
    line = 'cookie_refresh = "5m"\n'
    with changed(setup, line, f'{line}allowed_roles = ["{role}"]\n'):
        parts.visit(tab, setup.url)
        tab.locator("input[name=login]").fill("ada")
        tab.locator("input[name=password]").fill("a password")
        with tab.expect_response(lambda one: "/oauth2/callback" in one.url) as answer:
            tab.locator("button[type=submit]").click()
        assert answer.value.status == (302 if opened else 403)
        page = parts.visit(tab, setup.url + "/api/databases")
        assert page is not None
        assert (page.status == 200) is opened
        assert ("Redis Insight" in tab.content()) is opened


def test_a_session_that_is_asked_for_again_reaches_the_browser(
    setup: parts.Setup, tab: Page
) -> None:
    with changed(setup, 'cookie_refresh = "5m"', 'cookie_refresh = "1s"'):
        login(tab, setup.url)
        before = session_of(tab, setup.url)
        time.sleep(2.2)  # oauth2-proxy counts whole seconds
        parts.visit(tab, setup.url)
        expect(tab).to_have_title("Redis Insight")
        assert before
        assert session_of(tab, setup.url) != before


def session_of(tab: Page, url: str) -> dict[str, str]:
    """The session's cookies."""
    return {
        cookie["name"]: cookie["value"]
        for cookie in tab.context.cookies(url)
        if re.fullmatch(r"__Host-mngdb(_\d)?", cookie["name"])
    }


@contextmanager
def changed(setup: parts.Setup, old: str, new: str) -> Iterator[None]:
    """oauth2-proxy with another line in its configuration."""
    config = setup.folder / "oauth2-proxy.cfg"
    before = config.read_text()
    assert old in before
    setup.stop("login")
    try:
        config.write_text(before.replace(old, new))
        setup.start("login")
        yield
    finally:
        config.write_text(before)
        setup.stop("login")
        setup.start("login")


def test_the_rendered_files_are_taken_by_the_programs_themselves(setup: parts.Setup) -> None:
    config = setup.folder / "oauth2-proxy.cfg"
    test = [str(golang.program("oauth2-proxy")), "--config-test"]
    assert subprocess.run([*test, f"--config={config}"], check=False).returncode == 0
    wrong = setup.folder / "wrong.cfg"
    wrong.write_text(config.read_text() + "cookie_domian = []\n")
    done = subprocess.run([*test, f"--config={wrong}"], check=False, capture_output=True)
    assert done.returncode != 0
    log = (setup.folder / "traefik.log").read_text()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", log).splitlines()
    assert any(" INF " in line for line in lines)
    # what other tests have stopped does not answer; nothing else is wrong
    bad = [line for line in lines if re.search(" (ERR|WRN|FTL) ", line)]
    assert not [line for line in bad if "Error calling" not in line]
    health = [str(parts.TRAEFIK), "healthcheck", f"--configFile={setup.folder / 'traefik.yml'}"]
    assert subprocess.run(health, check=False, capture_output=True).returncode == 0


def test_no_secret_is_in_the_readable_files(setup: parts.Setup, redis: Access) -> None:
    assert redis.password is not None
    readable = "".join(
        path.read_text()
        for path in (setup.folder / "traefik.yml", setup.folder / "oauth2-proxy.cfg")
    ) + "".join(path.read_text() for path in (setup.folder / "routes").iterdir())
    for name in ("sso_client", "sso_cookie"):
        assert (setup.folder / name).read_text() not in readable
    assert redis.password.reveal() not in readable
    (one,) = json.loads((setup.folder / "connections.json").read_text())
    assert one["password"] == redis.password.reveal()
