"""Checks of secrets in the environment, and of those of the services beside the servers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mngdb.secret import generate
from tests.checks.judge import findings, one, opened
from tests.checks.test_secrets_checks import secret, shown
from tests.conftest import Cli

pytestmark = pytest.mark.live


def test_the_key_that_redisinsight_takes_from_its_environment(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write(
        "target: compose\nredis: {port: PORT1}\n"
        "sso: {issuer: https://keycloak.example/realms/mng, roles: [redis-admin]}\n"
        "redisinsight: {url: https://redisinsight.example, accept_terms: true}\n"
    )
    context = opened(cli)
    context.claim()
    context.vault.put({"sso_client": generate()})
    context.make_secrets(context.missing_secrets())
    for name, verdict in (("redisinsight_key", "pass"), ("sso_cookie", "fail")):
        env = {"KEY": secret(cli, name).read_text()}
        with subprocess.Popen(["sleep", "60"], env=env) as child:
            shown(child)
            found = one(cli, "secrets.environments")
            child.kill()
        assert found.verdict == verdict, found
    assert one(cli, "secrets.unused").verdict == "pass"


def test_a_vault_in_the_environment(tmp_path: Path) -> None:
    value = generate().reveal()
    cli = Cli(tmp_path, {"MNGDB_SECRET_REDIS_ADMIN": value, "MNGDB_SECRET_REDIS_SHOP": "short"})
    cli.write("vault: environ\nredis: {port: PORT1}\napps: {shop: {redis: 's:*'}}\n")
    found = findings(cli, "secrets.*")
    apart = ("secrets.files", "secrets.unused", "secrets.environments", "secrets.age")
    assert {found[name].verdict for name in apart} == {"not_applicable"}
    assert found["secrets.length"].evidence == "redis_shop (5)"
    assert found["secrets.present"].verdict == "pass"
