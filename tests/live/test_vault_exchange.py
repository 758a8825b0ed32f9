"""Secrets copied and compared between vaults: names are shown, values never."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mngdb.ops import notices
from mngdb.ops.rotate.note import Entry, keep
from tests.checks.judge import opened
from tests.conftest import Cli
from tests.secrets_server import SecretsServer

FILE = "redis: {}\napps: {shop: {redis: 's:*'}}\nagent: false\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretsServer]:
    with SecretsServer(tmp_path_factory.mktemp("aws")).running() as found:
        yield found


def made(cli: Cli) -> list[str]:
    """A stack with secrets in files; returns their values."""
    cli.write(FILE)
    context = opened(cli)
    context.claim()
    context.make_secrets(context.missing_secrets())
    return [
        secret.reveal()
        for entry in context.vault.get_many(context.known_secrets()).values()
        if (secret := entry.secret) is not None
    ]


def test_from_files_to_aws_and_back(cli: Cli, server: SecretsServer, tmp_path: Path) -> None:
    cli.env |= server.variables | {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": server.url}
    values = made(cli)
    said = []

    def run(code: int, *words: str) -> str:
        done = cli.run("secrets", *words)
        assert done.returncode == code, done.stderr
        said.append(done.stdout + done.stderr)
        return done.stdout

    there = "aws:chat-app/database"
    assert "redis_shop: only in the file's vault" in run(1, "diff", "--to", there)
    assert "redis_admin, redis_shop" in run(0, "push", "--to", there)
    assert "2 of 2 secrets are the same" in run(0, "diff", "--to", there)
    assert "nothing to copy" in run(0, "push", "--to", there)
    cli.ok("secret", "set", "redis_shop", stdin="another-secret-of-the-shop-12345")
    assert "redis_shop: differs" in run(1, "diff", "--to", there)
    run(2, "push", "--to", there)
    assert "there already: redis_shop" in said[-1]
    assert "copied from" in run(0, "pull", "--from", there, "--overwrite")
    run(0, "diff", "--to", there)
    # the same from the other side
    cli.write(f"{FILE}vault: {{aws: {{name: chat-app/database}}}}\n")
    run(0, "diff", "--to", f"files:{cli.state / 'secrets'}")
    folder = tmp_path / "elsewhere"
    run(0, "push", "--to", f"files:{folder}")
    assert {path.name for path in folder.iterdir()} == {"redis_admin", "redis_shop"}
    assert not any(value in text for value in values for text in said)
    assert '"command": "secrets push"' in (cli.state / "audit.log").read_text()


def test_what_is_being_rotated_is_not_replaced(cli: Cli, tmp_path: Path) -> None:
    made(cli)
    there = f"files:{tmp_path / 'elsewhere'}"
    cli.ok("secrets", "push", "--to", there)
    (tmp_path / "elsewhere" / "redis_shop").write_text("another-secret-of-the-shop-12345")
    before = (cli.state / "secrets" / "redis_shop").read_text()
    keep(cli.state, [Entry("redis_shop", "redis", "shop", "waiting", 1.0, 900.0, published=2.0)])
    done = cli.run("secrets", "pull", "--from", there, "--overwrite")
    assert (done.returncode, "redis_shop is being rotated" in done.stderr) == (2, True)
    assert (cli.state / "secrets" / "redis_shop").read_text() == before


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("push", "--to", "here"), "not a vault"),
        (("push", "--to", "aws:a b"), "not a name in AWS"),
        (("push", "--to", "environ"), "not set"),
        (("push", "--to", "files:{own}"), "vault of the file itself"),
    ],
)
def test_what_is_no_vault_is_told(cli: Cli, words: tuple[str, ...], hint: str) -> None:
    made(cli)
    own = cli.state / "secrets"
    done = cli.run("secrets", *(word.format(own=own) for word in words))
    assert done.returncode == 2
    assert hint in done.stderr


def test_secrets_in_aws_are_not_replaced_where_nothing_says_that_they_are_there(
    cli: Cli, server: SecretsServer
) -> None:
    cli.env |= server.variables | {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": server.url}
    made(cli)
    cli.ok("secrets", "push", "--to", "aws:moved/database")
    shutil.rmtree(cli.state / "secrets")
    there = {"USE_AWS_SECRETS": "true", "AWS_SECRET_NAME": "moved/database"}
    cli.env |= there
    cli.ok("env", "shop")
    for name in there:
        del cli.env[name]
    for command in (("up",), ("env", "shop"), ("secrets", "push", "--to", "aws:other/database")):
        done = cli.run(*command)
        assert done.returncode == 2, command
        assert "in AWS (moved/database in us-east-1)" in done.stderr
        assert "mngdb secrets pull" in done.stderr
    assert not (cli.state / "secrets").exists()
    # as the hint says; a name without secrets is not taken for an empty stack
    pull = ("secrets", "pull", "--overwrite", "--from")
    assert "no secrets of this stack" in cli.run(*pull, "aws:moved/databas").stderr
    assert cli.run("env", "shop").returncode == 2
    cli.ok(*pull, "aws:moved/database")
    cli.ok("env", "shop")


def test_secrets_that_a_vault_of_before_has_are_told(cli: Cli) -> None:
    made(cli)
    assert not notices.of_file(opened(cli))
    cli.write(f"{FILE}vault: environ\n")
    (told,) = notices.of_file(opened(cli))
    assert f"{cli.state / 'secrets'}, which is not the vault any more" in told.text
