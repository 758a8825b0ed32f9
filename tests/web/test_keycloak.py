"""The page with Keycloak itself, as examples/mng-db has it: in the stack's own PostgreSQL, with the
realm file of the example."""

from __future__ import annotations

import http.client
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from mngdb.model import Access
from mngdb.secret import Secret
from tests import keycloak
from tests.conftest import ROOT, Cli, free_port
from tests.web import page as parts

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.keycloak, pytest.mark.timeout(900)]
ADMIN, PASSWORD = "admin", "a-password-of-a-test"


class Keycloak:
    """Keycloak in a PostgreSQL of mngdb's, as the realm of a page."""

    def __init__(self, cli: Cli, folder: Path) -> None:
        self.cli, self.folder, self.port = cli, folder, 0

    def __call__(self, issuer: str, port: int, secret: str) -> parts.Part:
        self.port = port
        shutil.copytree(keycloak.folder(), self.folder, copy_function=shutil.copy)
        (self.folder / "data/import").mkdir(parents=True)
        shutil.copy(ROOT / "examples/mng-db/keycloak/realm-mng.json", self.folder / "data/import")
        url, env = urlsplit(issuer), self.cli.env_of("keycloak")
        return parts.Part(
            [
                *("sh", str(self.folder / "bin/kc.sh"), "start", "--optimized", "--import-realm"),
                f"--hostname={url.scheme}://{url.netloc}",
                *("--proxy-headers=xforwarded", "--http-enabled=true", "--http-host=127.0.0.1"),
                *(f"--http-port={port}", f"--http-management-port={free_port()}"),
                f"--db-url=jdbc:postgresql://127.0.0.1:{env['POSTGRES_PORT']}/keycloak",
                "--db-username=keycloak",
            ],
            {
                "KC_DB_PASSWORD": env["POSTGRES_PASSWORD"],
                "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
                "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
                "SSO_CLIENT_SECRET": secret,
                "DEFAULT_URL": f"{parts.PAGE.partition('.')[2]}:{url.port}",
                # small is enough here
                "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx400m",
            },
            patience=600,
        )

    def add(self, name: str, *roles: str) -> None:
        """Make a person of the realm, with PASSWORD."""
        form = {"grant_type": "password", "client_id": "admin-cli"}
        form |= {"username": ADMIN, "password": PASSWORD}
        token = self._ask("/realms/master/protocol/openid-connect/token", form=form)["access_token"]
        person = {
            "username": name,
            "email": f"{name}@example.test",
            "emailVerified": True,
            "enabled": True,
            "firstName": name,
            "lastName": "Test",
            "credentials": [{"type": "password", "value": PASSWORD}],
        }
        self._ask("/admin/realms/mng/users", token, person)
        (found,) = self._ask(f"/admin/realms/mng/users?username={name}", token)
        named = [self._ask(f"/admin/realms/mng/roles/{role}", token) for role in roles]
        if named:
            self._ask(f"/admin/realms/mng/users/{found['id']}/role-mappings/realm", token, named)

    def _ask(
        self,
        path: str,
        token: str | None = None,
        body: Any = None,
        form: dict[str, str] | None = None,
    ) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = urlencode(form) if form else json.dumps(body) if body is not None else None
        try:
            connection.request("POST" if data else "GET", path, data, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status < 300, f"{path}: {answer.status} {text}"
            return json.loads(text) if text else None
        finally:
            connection.close()


@pytest.fixture(scope="module")
def realm(module_cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Keycloak:
    module_cli.write(
        "postgres: {port: PORT1}\nredis: {port: PORT2}\napps: {keycloak: {postgres: keycloak}}\n"
        "agent: false\n"
    )
    module_cli.ok("up")
    return Keycloak(module_cli, tmp_path_factory.mktemp("kc") / "keycloak")


@pytest.fixture(scope="module")
def setup(
    realm: Keycloak, module_cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[parts.Setup]:
    secret = Secret((module_cli.state / "secrets/redis_admin").read_text())
    redis = Access("redis", "127.0.0.1", module_cli.port(2), "admin", secret)
    with parts.setup(
        tmp_path_factory.mktemp("page"), redis, realm, roles=("redis-admin",)
    ) as found:
        realm.add("ada", "redis-admin")
        realm.add("eve")
        yield found


@pytest.fixture(scope="module")
def chromium(setup: parts.Setup) -> Iterator[Browser]:
    with parts.browser(setup.folder / "redisinsight.crt") as found:
        yield found


def login(tab: Page, url: str, name: str) -> None:
    parts.visit(tab, url)
    expect(tab).to_have_url(re.compile(rf"https://{parts.REALM}:\d+/realms/mng/"))
    tab.locator("#username").fill(name)
    tab.locator("#password").fill(PASSWORD)
    tab.locator("#kc-login").click()


def test_a_person_of_the_realm_sees_the_page_and_signs_out_of_both(
    setup: parts.Setup, chromium: Browser
) -> None:
    tab = parts.stranger(chromium)
    login(tab, setup.url + "/browser", "ada")
    expect(tab).to_have_title("Redis Insight")
    assert parts.seen(tab)["headers"]["x-auth-request-email"] == "ada@example.test"
    parts.visit(tab, setup.url + "/oauth2/sign_out")
    expect(tab.locator("#password")).to_be_visible()
    tab.context.close()


def test_a_person_without_the_role_and_a_wrong_password_get_nothing(
    setup: parts.Setup, chromium: Browser
) -> None:
    tab = parts.stranger(chromium)
    login(tab, setup.url, "eve")
    expect(tab).to_have_url(re.compile(re.escape(setup.url) + "/oauth2/callback"))
    assert "Redis" not in tab.content()
    tab.context.close()
    tab = parts.stranger(chromium)
    parts.visit(tab, setup.url)
    tab.locator("#username").fill("ada")
    tab.locator("#password").fill("wrong")
    tab.locator("#kc-login").click()
    expect(tab.locator("#input-error, .kc-feedback-text").first).to_be_visible()
    assert setup.get("/")[0] == 302
    tab.context.close()


def test_its_administration_is_not_on_the_way_from_outside(setup: parts.Setup) -> None:
    assert setup.get("/realms/mng/.well-known/openid-configuration", host=parts.REALM)[0] == 200
    for path in ("/", "/admin/", "/admin/master/console/", "/realms/master/", "/metrics"):
        assert setup.get(path, host=parts.REALM)[0] == 404


def test_without_keycloak_the_page_is_closed(setup: parts.Setup) -> None:
    setup.stop("realm")
    status, _, body = setup.get("/")
    assert status == 302
    assert "Redis" not in body
    assert setup.get("/realms/mng/account", host=parts.REALM)[0] == 502


def test_keycloak_kept_its_realm_in_the_stacks_own_database(
    setup: parts.Setup, module_cli: Cli
) -> None:
    url = module_cli.env_of("keycloak")["POSTGRES_URL"]
    with psycopg.connect(url) as connection:
        names = {row[0] for row in connection.execute("select name from realm").fetchall()}
    assert names == {"master", "mng"}
