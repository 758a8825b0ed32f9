"""What `check` and `doctor` say of servers that are adopted: their logins are the file's, their
passwords are not the vault's, and no remedy shuts anybody out. No test here needs a server."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mngdb.checks import registry
from mngdb.findings import Judgement, Seen
from mngdb.model import DesiredInstance
from mngdb.ops import doctor
from mngdb.ops.check_around import around
from mngdb.ops.context import Context
from mngdb.ops.secrets import put
from mngdb.secret import Secret
from mngdb.spec.load import load
from tests.conftest import free_port
from tests.unit.spec import stack

_FILE = """\
name: mine
adopt: true
redis: {{target: {{external: {{url: "redis://admin@127.0.0.1:{port}"}}}}}}
apps: {{shop: {{redis: "shop:*"}}, cache: {{redis: "cache:*"}}}}
"""


def judged(check: str, **facts: Any) -> Judgement:
    (one,) = (one for one in registry.of(check.partition(".")[0]) if one.id == check)
    return one.judge(SimpleNamespace(**facts))


def login(name: str) -> Any:
    """One that is open and has rights of some kind, on any engine."""
    rights = Seen(SimpleNamespace(all_keys=False, all_channels=False, apps=(), may=frozenset()))
    return SimpleNamespace(name=name, on=True, rights=rights)


@pytest.mark.parametrize("engine", ["postgres", "redis", "mongodb"])
def test_logins_that_are_not_in_an_adopted_file_are_named(engine: str) -> None:
    facts: dict[str, Any] = {"logins": Seen((login("shop"), login("boss"))), "managed": False}
    adopted = judged(f"{engine}.logins-known", **facts, adopted=True, known={"shop"})
    assert (adopted.verdict, adopted.evidence) == ("fail", "boss")
    assert "--allow" not in adopted.remedy
    assert (
        judged(f"{engine}.logins-known", **facts, adopted=False, known={"shop"}).verdict != "fail"
    )


def test_nobody_is_told_to_shut_out_the_only_login_of_a_server_of_others() -> None:
    default = SimpleNamespace(
        name="default",
        on=True,
        no_password=False,
        as_admin=False,
        rights=Seen(SimpleNamespace(may={"shutdown"})),
    )
    found = judged("redis.default-user", logins=Seen((default,)), managed=False)
    assert found.verdict == "fail"
    assert found.remedy.startswith("give mngdb and each client a login of its own first")
    assert not judged("redis.default-user", logins=Seen((default,)), managed=True).remedy


@pytest.mark.parametrize("adopted", [True, False])
def test_a_password_that_differs_is_stored_not_set_on_an_adopted_server(adopted: bool) -> None:
    logins = Seen((SimpleNamespace(name="shop", agrees=False),))
    found = judged("mongodb.secrets-agree", logins=logins, adopted=adopted)
    assert found.verdict == "fail"
    assert found.remedy.startswith("mngdb secret set") is adopted


def test_passwords_that_others_set_are_not_missing(tmp_path: Path) -> None:
    path, environ = tmp_path / "mngdb.yaml", {"MNGDB_STATE_HOME": str(tmp_path / "home")}
    path.write_text(_FILE.format(port=free_port()))
    context = Context.open(load([path], environ, None), environ)
    missing, wrong = doctor._secrets(context)
    assert (missing, wrong) == (["redis_admin"], ())


def test_secrets_that_are_made_up_match_nothing_on_a_server() -> None:
    (instance,) = stack(_FILE.format(port=6379)).instances.values()
    secrets = {name: Secret(name * 10) for name in ("admin", "shop", "cache")}
    asked = DesiredInstance("mine", instance, secrets, unknown=frozenset({"shop"}))
    assert asked.vault_secrets().keys() == {"admin", "cache"}


@pytest.mark.parametrize("stored", [True, False])
def test_secrets_are_judged_as_soon_as_the_vault_has_one_of_an_app(
    tmp_path: Path, stored: bool
) -> None:
    path, environ = tmp_path / "mngdb.yaml", {"MNGDB_STATE_HOME": str(tmp_path / "home")}
    path.write_text(_FILE.format(port=free_port()))
    context = Context.open(load([path], environ, None), environ)
    put(context, "redis_admin", "a" * 40)
    if stored:
        put(context, "redis_cache", "b" * 40)
    found = {one.id: one for one in around(context, lambda one: one.engine == "secrets")}
    assert (found["secrets.folder"].verdict == "not_applicable") is not stored
    # that of `shop`, which others set, is not missing
    assert found["secrets.present"].verdict == ("pass" if stored else "not_applicable")
