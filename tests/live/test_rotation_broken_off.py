"""Logins that have one password at a time, on servers that somebody else runs: a rotation that was
killed between the server and the vault is finished by the same command, and until then every
command gets in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Cli
from tests.live.clients import set_secret, url
from tests.live.faults import Killing
from tests.live.followers import lets_in
from tests.live.postgres import sql

pytestmark = pytest.mark.live

ENGINES = {"postgres": "POSTGRES_URL", "redis": "REDIS_URL", "mongodb": "MONGO_URI"}
THEIRS = """\
postgres: {port: PORT1, memory: 64mb}
redis: {port: PORT2, memory: 64mb}
mongodb: {port: PORT3, memory: 256mb}
"""
#: With an agent, for whom there is a login of metrics; it is not started.
OURS = 'name: ours\n%s: {target: {external: {url: "%s"}}}\nagent: {external: true}\n'


@pytest.fixture(scope="module")
def theirs(module_cli: Cli) -> Cli:
    module_cli.write(THEIRS)
    module_cli.ok("up")
    servers = module_cli.state / "servers"
    hba = servers / "mng-pg" / "conf" / "pg_hba.conf"
    hba.write_text(hba.read_text() + "host all all 127.0.0.1/32 scram-sha-256\n")
    sql(module_cli, "SELECT pg_reload_conf()")
    (servers / "mng-redis" / "conf").chmod(0o777)  # for ACL SAVE, as where Redis was set up by hand
    return module_cli


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ours(theirs: Cli, engine: str, tmp_path: Path) -> Iterator[Cli]:
    """Another stack, which uses one of the servers."""
    admin = urlsplit(url(theirs, engine))
    bare = admin._replace(netloc=f"{admin.username}@{admin.hostname}:{admin.port}").geturl()
    cli = Cli(tmp_path)
    cli.write(OURS % (engine, bare))
    theirs_admin = theirs.state / "secrets" / f"{engine}_admin"
    set_secret(cli, f"{engine}_admin", theirs_admin.read_text())
    cli.ok("up", engine, "--allow", "monitor")  # of the stack of the test before
    yield cli
    # the server's own stack gets in again
    theirs_admin.write_text((cli.state / "secrets" / f"{engine}_admin").read_text())


@pytest.mark.parametrize("login", ["admin", "monitor"])
def test_killed_between_the_server_and_the_vault_it_is_finished(
    ours: Cli, engine: str, login: str
) -> None:
    words = ("rotate", f"--{login}", "--instance", engine)
    vault = ours.state / "secrets" / f"{engine}_{login}"
    before = vault.read_text()
    killing = Killing(ours.folder, {**ours.env, "MNGDB_KILL_AT": "promote"})
    assert killing.run(*words).returncode in {-9, 137, 247}
    assert vault.read_text() == before
    new = (vault.parent / f".{vault.name}.pending").read_text()
    assert [lets_in(engine, by(ours, engine, login, one)) for one in (before, new)] == [False, True]
    assert [step for step in ours.json("plan")["steps"] if step["instance"] == engine] == []
    assert ours.json(*words)["done"] == [f"{engine}_{login}"]
    assert vault.read_text() == new
    assert [lets_in(engine, by(ours, engine, login, one)) for one in (before, new)] == [False, True]
    assert [step for step in ours.json("plan")["steps"] if step["instance"] == engine] == []


def by(cli: Cli, engine: str, login: str, password: str) -> dict[str, str]:
    """The settings of a client that comes by this login and password."""
    at = urlsplit(url(cli, engine))
    user = at.username if login == "admin" else login
    found = at._replace(netloc=f"{user}:{password}@{at.hostname}:{at.port}").geturl()
    return {ENGINES[engine]: found}
