"""TLS for Redis: a build without it is told before anything starts; Debian's build has it."""

from __future__ import annotations

import pytest
import redis

from tests import debian
from tests.conftest import Cli
from tests.live.clients import converge, logs_in, problems, redis_as

pytestmark = pytest.mark.live

FILE = """
redis: {port: PORT1, tls: true}
apps: {shop: {redis: "shop:*"}}
"""


def with_debian(text: str) -> str:
    text = text.replace("PORT1", "PORT1, version: 7")
    return text + f"binaries: {{redis: {debian.redis_folder()}}}\n"


def test_a_build_without_tls_is_told_and_nothing_is_made(cli: Cli) -> None:
    cli.write(FILE)
    for command in ("plan", "up"):
        done = cli.run(command)
        assert done.returncode in {1, 2}
        assert "TLS is enabled" in done.stderr
        assert "built without it" in done.stderr
        assert not (cli.state).exists()


def test_a_build_with_tls_encrypts_and_clients_verify(
    cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from mngdb.targets.process import tls

    cli.write(with_debian(FILE))
    cli.ok("up")
    env = cli.env_of("shop")
    assert env["REDIS_URL"].startswith("rediss://")
    assert env["REDIS_TLS"] == "true"
    assert env["REDIS_URL"].endswith(f"&ssl_ca_certs={env['REDIS_CA']}")
    with redis_as(cli, "shop") as shop:
        assert shop.set("shop:1", "x")
    assert problems(cli, "shop") == {"redis": None}
    with pytest.raises(redis.ConnectionError):
        logs_in(env["REDIS_URL"].replace("rediss://", "redis://").partition("?")[0])
    other = tls.ensure_ca(tmp_path_factory.mktemp("ca"), "other")
    head = env["REDIS_URL"].partition("?")[0]
    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        logs_in(f"{head}?ssl_ca_certs={other}")
    with redis_as(cli) as admin:
        assert admin.config_get("port") == {"port": "0"}


def test_tls_is_turned_on_and_off_for_a_running_server_by_a_restart(cli: Cli) -> None:
    plain = with_debian(FILE.replace(", tls: true", ""))
    cli.write(plain)
    cli.ok("up")
    with redis_as(cli, "shop") as shop:
        shop.set("shop:kept", "yes")
    for text in (with_debian(FILE), plain):
        cli.write(text)
        steps = converge(cli)
        assert [(s["action"], s["restart"]) for s in steps] == [("restart", True)]
        with redis_as(cli, "shop") as shop:
            assert shop.get("shop:kept") == "yes"
