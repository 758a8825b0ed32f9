"""examples/mng-db with its pages: what stands in several files there is the same in all.

test_keycloak.py runs its realm in Keycloak itself; keycloak/compose.yml was tried by hand with
Keycloak's distribution in an image of that name.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from mngdb.spec.web import CLIENT_SECRET
from tests.conftest import ROOT, Cli

EXAMPLE = ROOT / "examples/mng-db"
BOTH = ("-f", "mngdb.yaml", "-f", "pages.yaml")


@pytest.fixture
def rendered(cli: Cli) -> Path:
    for name in ("mngdb.yaml", "pages.yaml"):
        shutil.copy(EXAMPLE / name, cli.folder)
    cli.env["DEFAULT_URL"] = "example.test"
    cli.ok(*BOTH, "render", "compose", "--output", "out")
    return cli.folder / "out"


def test_the_realms_client_is_the_one_that_logs_in(rendered: Path) -> None:
    text = (EXAMPLE / "keycloak/realm-mng.json").read_text()
    realm = json.loads(text.replace("${DEFAULT_URL}", "example.test"))
    (client,) = realm["clients"]
    login = tomllib.loads((rendered / "web/oauth2-proxy.cfg").read_text())
    assert login["client_id"] == client["clientId"]
    assert client["redirectUris"] == [login["redirect_url"]]
    assert login["oidc_issuer_url"].endswith(f"/realms/{realm['realm']}")
    assert login["allowed_roles"] == [role["name"] for role in realm["roles"]["realm"]]
    assert client["secret"] == "${SSO_CLIENT_SECRET}"


def test_keycloak_finds_its_database_its_secrets_and_traefik(rendered: Path, cli: Cli) -> None:
    stack: dict[str, Any] = yaml.safe_load((rendered / "docker-compose.yml").read_text())
    compose = yaml.safe_load((EXAMPLE / "keycloak/compose.yml").read_text())
    keycloak, env = compose["services"]["keycloak"], cli.json(*BOTH, "env", "keycloak")
    wanted = f"jdbc:postgresql://{env['POSTGRES_HOST']}:{env['POSTGRES_PORT']}"
    assert keycloak["environment"]["KC_DB_URL"] == f"{wanted}/{env['POSTGRES_DATABASE']}"
    assert keycloak["environment"]["KC_DB_USERNAME"] == env["POSTGRES_USER"]
    assert compose["secrets"]["KC_DB_PASSWORD"] == {"environment": "POSTGRES_PASSWORD"}
    for key, network in compose["networks"].items():
        assert network["name"] == stack["networks"][key]["name"]
    routes = yaml.safe_load((rendered / "web/routes/redisinsight.yml").read_text())["http"]
    (server,) = routes["services"]["realm"]["loadBalancer"]["servers"]
    assert server["url"] == f"http://{keycloak['container_name']}:8080"
    # whoever follows the README brings this very secret to the realm
    secret = (cli.state / "secrets" / CLIENT_SECRET).read_text()
    assert (rendered / "secrets" / CLIENT_SECRET).read_text() == secret
