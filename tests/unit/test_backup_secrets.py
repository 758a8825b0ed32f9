"""The backups' own secrets: whoever lost one, or has another one, is told, and nothing goes on as
if there had been no backups."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mngdb.errors import UsageError
from mngdb.ops.backup import keys, kit, place, schedule
from mngdb.ops.backup.schedule import Run
from mngdb.ops.context import Context
from mngdb.ops.secrets import put
from mngdb.stores.sealing import make_key, recipient
from mngdb.stores.signing import make_secret
from tests.checks.judge import opened
from tests.conftest import Cli
from tests.unit.backups import backed_up, snapshot


@pytest.fixture
def context(cli: Cli, tmp_path: Path) -> Context:
    """A stack with a snapshot."""
    return backed_up(cli, tmp_path / "store")


def file(context: Context, name: str) -> Path:
    return Path(context.vault.where(name))


def gone(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_text("")


def cut(path: Path) -> None:
    path.write_text(path.read_text()[:20])


def another(path: Path) -> None:
    key = make_key() if path.name == "backup_key" else make_secret()
    path.write_text(key.reveal())


@pytest.mark.parametrize("name", ["backup_key", "backup_mac"])
@pytest.mark.parametrize("harm", [gone, empty, cut, another])
def test_a_secret_that_does_not_fit_is_told_with_what_puts_it_back(
    context: Context, name: str, harm: Callable[[Path], None]
) -> None:
    assert keys.problems(context) == []
    path = file(context, name)
    kept = path.read_text()
    harm(path)
    context.vault.forget()
    (wrong,) = keys.problems(context)
    assert (wrong.secret, "secret set" in wrong.hint, "kit" in wrong.hint) == (name, True, True)
    assert "generated" not in wrong.hint
    done = put(context, name, kept)
    assert (keys.problems(context), done.warning) == ([], "")


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("harm", [gone, another])
def test_where_something_is_signed_nothing_is_signed_with_another_secret(
    context: Context, harm: Callable[[Path], None], *, noted: bool
) -> None:
    path = file(context, "backup_mac")
    harm(path)
    left = path.read_text() if path.exists() else None
    if not noted:  # by a version before; the store tells
        (context.stack.state / "backup-signer").unlink()
    for work in (keys.claim, kit.collect):
        context.vault.forget()
        with pytest.raises(UsageError) as caught:
            work(context)
        assert "secret set backup_mac" in str(caught.value.hint)
        assert "--new-key" in str(caught.value.hint)
    assert (path.read_text() if path.exists() else None) == left
    keys.begin_anew(context)
    snapshot(context)
    assert (keys.problems(context), place.catalog(context).trusted()) == ([], True)
    with pytest.raises(UsageError, match="already"):
        keys.begin_anew(context)


def test_who_brings_a_secret_that_nothing_fits_is_warned(context: Context) -> None:
    for name, other in (("backup_key", make_key()), ("backup_mac", make_secret())):
        kept = file(context, name).read_text()
        assert "no snapshot" in put(context, name, other.reveal()).warning
        assert put(context, name, kept).warning == ""


def test_a_machine_that_cannot_read_its_backups_lacks_no_key(context: Context, cli: Cli) -> None:
    public = recipient(make_key())
    cli.write(f"redis: {{port: PORT1}}\nbackup: {{store: store, recipients: [{public}]}}\n")
    found = opened(cli)
    schedule._keep(found, "redis", Run(done=time.time(), keys="another"))
    gone(file(found, "backup_key"))
    assert keys.problems(found) == []
