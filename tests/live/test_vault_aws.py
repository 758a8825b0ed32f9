"""Secrets in AWS Secrets Manager: how often it is asked, what it refuses, and when it is away."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mngdb.client import Settings, SettingsError
from mngdb.errors import SecretError
from mngdb.secret import Secret
from mngdb.spec.vault import AwsSecrets
from mngdb.vaults import Version
from mngdb.vaults.aws import client as asking
from mngdb.vaults.aws import memory
from mngdb.vaults.aws.document import Document
from mngdb.vaults.aws.vault import AwsVault, open_aws
from mngdb.vaults.cached import CachedVault
from tests.conftest import free_port
from tests.live.aws import running, server
from tests.secrets_server import SecretsServer, in_aws

__all__ = ["running", "server"]
NAME = "chat-app/database"
MANY = {f"redis_app{number}": Secret(f"secret-{number}") for number in range(45)}


def value(vault: AwsVault, name: str) -> str | None:
    entry = vault.get_many([name]).get(name)
    return entry.secret.reveal() if entry and entry.secret else None


# --- how often it is asked


@pytest.mark.parametrize(
    ("each", "reads"), [(False, ["GetSecretValue"]), (True, ["BatchGetSecretValue"] * 3)]
)
def test_a_command_reads_all_that_it_needs_at_once(
    server: SecretsServer, each: bool, reads: list[str]
) -> None:
    in_aws(server, each=each).put(MANY)
    server.calls()
    vault = CachedVault(in_aws(server, each=each), lambda: MANY)
    assert [vault.get(name) for name in MANY] == list(MANY.values())
    assert server.calls() == reads


def test_many_secrets_are_one_version_and_a_rotation_of_them_few(server: SecretsServer) -> None:
    vault = in_aws(server)
    vault.put(MANY)
    assert server.calls().count("CreateSecret") == 1
    vault.put({name: Secret(f"new-{name}") for name in MANY}, "pending")
    vault.promote(list(MANY))
    assert server.calls().count("PutSecretValue") == 3
    labels = {
        label: json.loads(
            server.client().get_secret_value(SecretId=NAME, VersionStage=label)["SecretString"]
        )
        for label in ("AWSCURRENT", "AWSPREVIOUS")
    }
    assert labels["AWSCURRENT"]["redis_app7"] == "new-redis_app7"
    assert labels["AWSPREVIOUS"]["redis_app7"] == "secret-7"


def test_what_somebody_else_keeps_there_stays(server: SecretsServer) -> None:
    aws = server.client()
    by_hand = {"mongo_uri": "mongodb+srv://x", "mngdb.changed": "?", "nested": {"a": [1]}}
    aws.create_secret(Name=NAME, SecretString=json.dumps(by_hand))
    vault = in_aws(server)
    vault.put({"redis_shop": Secret("shop")})
    found = json.loads(aws.get_secret_value(SecretId=NAME)["SecretString"])
    assert [found[key] for key in ("mongo_uri", "nested")] == ["mongodb+srv://x", {"a": [1]}]
    assert vault.get_many(["redis_shop"])["redis_shop"].changed == pytest.approx(time.time(), abs=9)


# --- two at the same time


class Meddling(AwsVault):
    """Somebody else writes between its reading and its writing."""

    other: AwsVault
    what: dict[str, Secret]

    def _check_owner(self, document: Any) -> None:
        super()._check_owner(document)
        if self.what:
            what, self.what = self.what, {}
            self.other.put(what)


def meddled(server: SecretsServer, what: dict[str, Secret]) -> AwsVault:
    vault = in_aws(server)
    vault.put({"redis_shop": Secret("old"), "redis_other": Secret("old")})
    vault.__class__ = Meddling
    assert isinstance(vault, Meddling)
    vault.other, vault.what = in_aws(server), what
    return vault


def test_of_two_who_write_at_the_same_time_none_is_lost(server: SecretsServer) -> None:
    vault = meddled(server, {"redis_other": Secret("theirs")})
    vault.put({"redis_shop": Secret("ours")})
    assert [value(vault, name) for name in ("redis_shop", "redis_other")] == ["ours", "theirs"]


def test_of_two_who_write_the_same_secret_the_second_is_told(server: SecretsServer) -> None:
    vault = meddled(server, {"redis_shop": Secret("theirs")})
    with pytest.raises(SecretError, match=r"redis_shop in the AWS secret .* somebody else"):
        vault.put({"redis_shop": Secret("ours")})
    assert value(vault, "redis_shop") == "theirs"


def test_what_another_stack_or_nobody_of_ours_made_is_not_changed(server: SecretsServer) -> None:
    in_aws(server, stack="shop").put({"redis_shop": Secret("theirs")})
    changes: list[Callable[[], None]] = [
        lambda: in_aws(server).put({"redis_shop": Secret("ours")}),
        lambda: in_aws(server).put({"redis_shop": Secret("ours")}, "pending"),
        lambda: in_aws(server).delete(["redis_shop"]),
        lambda: in_aws(server).delete(["redis_shop"], ["previous"]),
    ]
    for change in changes:
        with pytest.raises(SecretError, match="belongs to the stack shop"):
            change()
    assert value(in_aws(server), "redis_shop") == "theirs"
    server.client().create_secret(Name=f"{NAME}/chat-app", SecretString="by hand")
    for change in (
        lambda: in_aws(server).publish("chat-app", {"A": "1"}),
        lambda: in_aws(server).unpublish("chat-app"),
    ):
        with pytest.raises(SecretError, match="was not made by mngdb"):
            change()
    kept = server.client().get_secret_value(SecretId=f"{NAME}/chat-app")
    assert kept["SecretString"] == "by hand"


@pytest.mark.parametrize("label", ["previous", "pending"])
def test_a_promotion_that_is_cut_short_has_happened_or_not(
    server: SecretsServer, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    vault = in_aws(server)
    vault.put({"redis_shop": Secret("old"), "redis_other": Secret("old")})
    for name in ("redis_other", "redis_shop"):  # of the first, another version is previous then
        vault.put({name: Secret("new")}, "pending")
        if name == "redis_other":
            vault.promote([name])
    change = Document.change

    def cut(document: Document, version: Version, *words: Any, **more: Any) -> Any:
        if version == label:
            raise KeyboardInterrupt
        return change(document, version, *words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Document, "change", cut)
        with pytest.raises(KeyboardInterrupt):
            vault.promote(["redis_shop"])
    assert value(vault, "redis_shop") == "new"
    assert vault.get_many(["redis_shop"], "pending") == {}
    assert vault.get_many(["redis_shop"], "previous")["redis_shop"].secret == Secret("old")


# --- what it refuses


def test_a_document_that_would_be_too_large_is_not_sent(server: SecretsServer) -> None:
    large = {f"redis_app{number}": Secret("x" * 4000) for number in range(17)}
    with pytest.raises(SecretError, match=r"would have .* of which AWS takes 65536") as caught:
        in_aws(server).put(large)
    assert "each: true" in str(caught.value.hint)
    assert server.client().list_secrets()["SecretList"] == []
    in_aws(server, each=True).put(large)


@pytest.mark.parametrize("text", ["not json", "[1, 2]", '"text"', "{" * 5000])
def test_a_document_that_is_none_is_told_and_not_overwritten(
    server: SecretsServer, text: str
) -> None:
    server.client().create_secret(Name=NAME, SecretString=text)
    vault = in_aws(server)
    for ask in (
        lambda: vault.get_many(["redis_shop"]),
        lambda: vault.put({"redis_shop": Secret("x")}),
    ):
        with pytest.raises(SecretError, match="does not hold a JSON object"):
            ask()
    assert server.client().get_secret_value(SecretId=NAME)["SecretString"] == text


def test_one_scheduled_for_deletion_is_told_with_what_brings_it_back(
    server: SecretsServer,
) -> None:
    in_aws(server).put({"redis_shop": Secret("x")})
    server.client().delete_secret(SecretId=NAME, RecoveryWindowInDays=7)
    for ask in (
        lambda: in_aws(server).get_many(["redis_shop"]),
        lambda: in_aws(server).put({"redis_shop": Secret("y")}),
    ):
        with pytest.raises(SecretError, match="scheduled for deletion") as caught:
            ask()
        assert caught.value.hint is not None
        assert caught.value.hint.startswith("aws secretsmanager restore-secret")
    server.client().restore_secret(SecretId=NAME)
    assert value(in_aws(server), "redis_shop") == "x"


def test_settings_of_an_app_that_comes_back_are_restored(server: SecretsServer) -> None:
    vault = in_aws(server)
    vault.publish("chat-app", {"A": "1"})
    vault.unpublish("chat-app")
    assert vault.published(["chat-app"]) == {}
    vault.publish("chat-app", {"A": "2"})
    assert vault.published(["chat-app"]) == {"chat-app": {"A": "2"}}


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        ("UnrecognizedClientException", "The security token is invalid", "credentials"),
        ("InvalidSignatureException", "Credential should be scoped", "credentials"),
        ("InvalidSignatureException", "Signature expired: 20261129", "clock"),
        ("InvalidSignatureException", "Signature not yet current: 2026", "clock"),
        ("ExpiredTokenException", "expired", "session has expired"),
        ("AccessDeniedException", "User: x is not authorized", "does not permit GetSecretValue"),
        ("DecryptionFailure", "the key is disabled", "DecryptionFailure"),
    ],
)
def test_a_refusal_is_one_sentence_and_a_hint(
    server: SecretsServer, code: str, text: str, said: str
) -> None:
    server.fail(code, text=text)
    with pytest.raises(SecretError, match=said) as caught:
        in_aws(server).get_many(["redis_shop"])
    assert "\n" not in caught.value.message
    assert caught.value.hint or code == "DecryptionFailure"


def test_wrong_keys_are_refused_by_the_server_itself(server: SecretsServer) -> None:
    in_aws(server).put({"redis_shop": Secret("x")})
    server.demand_rights()
    try:
        with pytest.raises(SecretError, match="does not accept the credentials"):
            in_aws(server).get_many(["redis_shop"])
    finally:
        server.demand_rights(False)


def test_without_boto3_it_says_what_to_install(
    server: SecretsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("boto3", "botocore", "botocore.config", "botocore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    asking._made.cache_clear()
    with pytest.raises(SecretError, match="needs boto3") as caught:
        in_aws(server).get_many(["redis_shop"])
    assert caught.value.hint == "pip install 'mngdb[aws]'"


class Clock(SimpleNamespace):
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(time=time.time)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("minutes", "done"), [(2, True), (60, False)])
def test_throttling_for_two_minutes_is_waited_for_and_for_ever_is_told(
    server: SecretsServer, monkeypatch: pytest.MonkeyPatch, minutes: int, done: bool
) -> None:
    clock, vault = Clock(), in_aws(server)
    monkeypatch.setattr(asking, "time", clock)
    monkeypatch.setattr(vault._client, "_sleep", clock.sleep)
    once = vault._client._once

    def throttled(*words: Any) -> dict[str, Any]:
        server.fail("ThrottlingException", clock.now < minutes * 60)
        return once(*words)

    monkeypatch.setattr(vault._client, "_once", throttled)
    if done:
        assert vault.get_many(["redis_shop"]) == {}
        assert 120 <= clock.now < 145
        return
    with pytest.raises(SecretError, match="ThrottlingException for 180 s"):
        vault.get_many(["redis_shop"])
    assert clock.now <= 180


# --- when it is away


def away(server: SecretsServer, **more: Any) -> AwsVault:
    """The same vault, behind a port where nobody listens."""
    vault = in_aws(server, endpoint=f"http://127.0.0.1:{free_port()}", **more)
    vault._client._sleep = lambda _: None
    return vault


@pytest.fixture
def state(tmp_path: Path) -> Path:
    found = tmp_path / "stacks" / "chat-1"
    found.mkdir(parents=True)
    return found


def test_closed_is_the_default_and_a_copy_is_kept_for_who_asks_for_it_alone(
    server: SecretsServer, state: Path
) -> None:
    in_aws(server, state=state, fail_open=True).put({"redis_shop": Secret("value-of-shop")})
    in_aws(server, state=state, fail_open=True).get_many(["redis_shop"])
    assert (state / "vault-copy").exists()
    in_aws(server, state=state).get_many(["redis_shop"])
    assert not (state / "vault-copy").exists()
    with pytest.raises(SecretError, match=r"cannot be reached .*: Connection refused"):
        away(server, state=state).get_many(["redis_shop"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"region": None}, "no AWS region is set"),
        ({"AWS_PROFILE": "nobody"}, "nobody"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "only a part of the AWS credentials"),
        ({"AWS_CONFIG_FILE": "damaged"}, "the AWS settings are invalid"),
        ({"endpoint": None, "AWS_ENDPOINT_URL": "nonsense"}, "the AWS settings are invalid"),
    ],
)
def test_settings_that_open_no_client_are_one_sentence(
    given: dict[str, str | None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damaged").write_text("[")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    login = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tester"}
    for name, text in (login | {k: v for k, v in given.items() if k.isupper()}).items():
        monkeypatch.setenv(name, str(text))
    keys = {"name": NAME, "region": "us-east-1"} | {k: v for k, v in given.items() if k.islower()}
    vault = open_aws(AwsSecrets.model_validate(keys), "chat", None, os.environ, lambda _: None)
    with pytest.raises(SecretError, match=said):
        vault.get_many(["redis_shop"])


def test_open_it_goes_on_with_the_last_good_copy_and_says_so_each_time(
    server: SecretsServer, state: Path
) -> None:
    said: list[str] = []
    in_aws(server).put({"redis_shop": Secret("value-of-shop")})
    in_aws(server, state=state, fail_open=True).get_many(["redis_shop"])
    for number in (1, 2):
        vault = away(server, state=state, fail_open=True, warn=said.append)
        assert value(vault, "redis_shop") == "value-of-shop"
        assert len(said) == number
        assert "WARNING" in said[-1]
        assert "value-of-shop" not in said[-1]
        # what is missing is not made up beside an AWS that may have it
        assert not vault.writable
        with pytest.raises(SecretError, match="AWS cannot be asked"):
            vault.check_writable(["redis_new"])


def test_the_copy_brings_nothing_back_that_is_gone(server: SecretsServer, state: Path) -> None:
    vault = in_aws(server, state=state, fail_open=True)
    vault.put({name: Secret(f"value-of-{name}") for name in ("redis_shop", "jwt_previous")})
    vault.delete(["jwt_previous"], ("current",))
    names = ["redis_shop", "jwt_previous", "redis_other"]
    assert [*away(server, state=state, fail_open=True).get_many(names)] == ["redis_shop"]
    # removed by hand, and known from an answer alone; what was not asked for stays
    vault.put({"redis_other": Secret("value")})
    held = {"redis_other": "value"}
    server.client().put_secret_value(SecretId=NAME, SecretString=json.dumps(held))
    vault.get_many(["redis_shop"])
    assert [*away(server, state=state, fail_open=True).get_many(names)] == ["redis_other"]


def test_a_value_in_the_copy_ages_by_itself(
    server: SecretsServer, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.time()]
    monkeypatch.setattr(memory, "time", SimpleNamespace(time=lambda: clock[0]))
    vault = in_aws(server, state=state, fail_open=True)
    vault.put({"redis_old": Secret("value"), "redis_new": Secret("value")})
    for _ in range(25):
        clock[0] += 3600
        vault.get_many(["redis_new"])
    there = away(server, state=state, fail_open=True)
    assert [*there.get_many(["redis_old", "redis_new"])] == ["redis_new"]


def test_the_copy_is_private_encrypted_bound_to_its_key_and_limited_in_age(
    server: SecretsServer, state: Path
) -> None:
    in_aws(server).put({"redis_shop": Secret("value-of-shop")})
    in_aws(server, state=state, fail_open=True).get_many(["redis_shop"])
    copy, key = state / "vault-copy", state.parent.parent / "vault-copies.key"
    for path in (copy, key):
        assert path.stat().st_mode & 0o077 == 0
        assert b"value-of-shop" not in path.read_bytes()
    time.sleep(1.1)  # its age is counted in seconds
    with pytest.raises(SecretError, match="last good copy is older than 1s"):
        away(server, state=state, fail_open=True, max_age="1s").get_many(["redis_shop"])
    key.write_text("0" * 64)
    with pytest.raises(SecretError, match="last good copy does not exist"):
        away(server, state=state, fail_open=True).get_many(["redis_shop"])


@pytest.mark.parametrize("each", [False, True])
def test_another_region_is_told_and_no_new_secrets_are_made_there(
    server: SecretsServer, state: Path, each: bool
) -> None:
    in_aws(server, state=state, each=each).put({"redis_shop": Secret("x")})
    # one that was not made yet is no such thing
    assert in_aws(server, state=state, each=each).get_many(["redis_new"]) == {}
    for names in (["redis_shop"], ["redis_new"]):
        with pytest.raises(SecretError, match=r"no secrets at .* eu-west-1: .* in us-east-1"):
            in_aws(server, state=state, each=each, region="eu-west-1").get_many(names)
    gone = f"{NAME}/redis_shop" if each else NAME
    server.client().delete_secret(SecretId=gone, ForceDeleteWithoutRecovery=True)
    with pytest.raises(SecretError, match="are gone"):
        in_aws(server, state=state, each=each).get_many(["redis_shop"])


# --- an app


@pytest.fixture
def app(server: SecretsServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Makes the settings of an app with the guide's variables."""
    vault = in_aws(server)
    vault.publish("chat-app", {"REDIS_PASSWORD": "one"})
    vault.publish("jwt-secrets", {"current": "c" * 40, "previous": "p" * 40})
    for name, value in {**server.variables, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    given = {
        "USE_AWS_SECRETS": "true",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_NAME": "chat-app/database/chat-app, chat-app/jwt-secrets",
        "MNGDB_SETTINGS_AGE": "3600",
        "REDIS_PASSWORD": "of the environment",
    }
    return lambda **more: Settings(given | more)


def test_an_app_that_logs_everything_logs_no_settings(
    app: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="botocore"):
        assert app()["JWT_CURRENT"] == "c" * 40
    assert "GetSecretValue" in caplog.text
    assert "c" * 40 not in caplog.text


def test_an_app_follows_a_rotation_in_aws(
    server: SecretsServer, app: Callable[..., Settings]
) -> None:
    settings = app()
    server.calls()
    assert [settings["REDIS_PASSWORD"] for _ in range(50)] == ["one"] * 50
    assert server.calls() == []
    assert settings["JWT_CURRENT"] == "c" * 40
    assert settings.verify(settings.sign({"sub": "kim"}))["sub"] == "kim"
    in_aws(server).publish("chat-app", {"REDIS_PASSWORD": "two"})
    assert settings["REDIS_PASSWORD"] == "one"
    assert settings.refresh()
    assert settings["REDIS_PASSWORD"] == "two"
    assert app(MNGDB_SETTINGS_AGE="0")["REDIS_PASSWORD"] == "two"


def test_an_app_does_not_start_without_aws_unless_it_may_and_runs_on_in_any_case(
    server: SecretsServer, app: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    settings = app(MNGDB_SETTINGS_AGE="0")
    server.fail("AccessDeniedException", 1000)
    assert settings["REDIS_PASSWORD"] == "one"
    assert "going on with the settings of before" in caplog.text
    with pytest.raises(SettingsError, match="chat-app/database/chat-app cannot be read"):
        app()
    caplog.clear()
    opened = app(AWS_SECRETS_FAIL_OPEN="true")
    assert opened["REDIS_PASSWORD"] == "of the environment"
    assert "AWS_SECRETS_FAIL_OPEN is true" in caplog.text
    server.fail("", 0)
    assert opened.refresh()
    assert opened["REDIS_PASSWORD"] == "one"
