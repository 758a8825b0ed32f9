"""What holds for every vault. One that cannot write says so, and changes nothing."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mngdb.errors import SecretError
from mngdb.secret import Secret, generate
from mngdb.vaults import VERSIONS, Entry, Vault, Version
from mngdb.vaults.aws.vault import AwsVault
from mngdb.vaults.cached import CachedVault
from mngdb.vaults.environ import EnvironVault
from mngdb.vaults.files import FilesVault
from tests.secrets_server import SecretsServer, in_aws

#: Puts a value where the vault has it, as somebody else would.
Plant = Callable[[str, str], None]


class Kind:
    """A kind of vault, and how somebody else writes to it."""

    def __init__(self, vault: Vault, plant: Plant) -> None:
        self.vault = vault
        self.plant = plant

    @property
    def writes(self) -> bool:
        try:
            self.vault.check_writable(["redis_shop"])
        except SecretError:
            return False
        return True


def _files(folder: Path, _: SecretsServer) -> Kind:
    def plant(name: str, value: str) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / name).touch(0o600)
        (folder / name).write_text(value)

    return Kind(FilesVault(folder), plant)


def _environ(*_: object) -> Kind:
    variables: dict[str, str] = {}
    vault = EnvironVault(variables)
    return Kind(vault, lambda name, value: variables.update({vault.where(name): value}))


def _cached(folder: Path, server: SecretsServer) -> Kind:
    kind = _files(folder, server)
    vault = CachedVault(kind.vault, lambda: ["redis_admin", "redis_shop"])

    def plant(name: str, value: str) -> None:
        kind.plant(name, value)
        vault.forget()

    return Kind(vault, plant)


def _aws(_: Path, server: SecretsServer) -> Kind:
    """One document, which somebody else made, and to which they write."""
    server.forget()
    aws, name = server.client(), "chat-app/database"

    def plant(key: str, value: str) -> None:
        try:
            content = json.loads(aws.get_secret_value(SecretId=name)["SecretString"])
        except aws.exceptions.ResourceNotFoundException:
            aws.create_secret(Name=name, SecretString=json.dumps({key: value}))
        else:
            text = json.dumps(content | {key: value})
            aws.put_secret_value(SecretId=name, SecretString=text)

    return Kind(in_aws(server), plant)


def _aws_each(_: Path, server: SecretsServer) -> Kind:
    """A secret for each value."""
    server.forget()
    aws, vault = server.client(), in_aws(server, each=True)

    def plant(key: str, value: str) -> None:
        tags = [{"Key": "mngdb-stack", "Value": "chat"}]
        name = f"chat-app/database/{key}"
        aws.create_secret(Name=name, SecretString=value or "\n", Tags=tags)

    return Kind(vault, plant)


KINDS: dict[str, Callable[[Path, SecretsServer], Kind]] = {
    "files": _files,
    "environ": _environ,
    "cached": _cached,
    "aws": _aws,
    "aws-each": _aws_each,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretsServer]:
    with SecretsServer(tmp_path_factory.mktemp("aws")).running() as found:
        yield found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path, server: SecretsServer) -> Kind:
    return KINDS[request.param](tmp_path / "secrets", server)


@pytest.fixture(params=[name for name in KINDS if name != "environ"])
def writing(request: pytest.FixtureRequest, tmp_path: Path, server: SecretsServer) -> Vault:
    """A vault that can be written to; of the others, `test_one_that_only_reads…` asks."""
    return KINDS[request.param](tmp_path / "secrets", server).vault


def values(vault: Vault, *names: str, version: Version = "current") -> dict[str, str]:
    """What there is of the names."""
    found = vault.get_many(names, version)
    return {name: entry.secret.reveal() for name, entry in found.items() if entry.secret}


def test_many_are_read_together_and_the_missing_left_out(kind: Kind) -> None:
    kind.plant("redis_shop", "one-secret\n")
    kind.plant("redis_chat-app", "another")
    assert values(kind.vault, "redis_shop", "redis_none", "redis_chat-app") == {
        "redis_shop": "one-secret",
        "redis_chat-app": "another",
    }
    assert kind.vault.get_many([]) == {}


@pytest.mark.parametrize("bad", ["", "\n", "two words", "pässword", "x" * 5000])
def test_one_that_cannot_be_used_says_why_and_costs_the_others_nothing(
    kind: Kind, bad: str
) -> None:
    kind.plant("redis_shop", bad)
    kind.plant("redis_other", "good")
    entry = kind.vault.get_many(["redis_shop", "redis_other"])["redis_shop"]
    assert entry.secret is None
    with pytest.raises(SecretError, match=r"redis_shop|REDIS_SHOP") as caught:
        entry.usable()
    assert not bad.strip() or bad not in caught.value.message
    assert values(kind.vault, "redis_shop", "redis_other") == {"redis_other": "good"}


def test_where_a_person_finds_it_is_what_it_is_read_from(kind: Kind) -> None:
    name = "redis_chat-app"
    place = kind.vault.where(name)
    assert (
        place in {*map(str, kind.vault.files([name])), *kind.vault.variables([name])}
        or "chat-app/database" in place
    )
    for path in kind.vault.files([name]):
        assert path.parent == kind.vault.folder


def test_one_that_only_reads_refuses_every_change(kind: Kind) -> None:
    kind.plant("redis_shop", "before")
    vault = kind.vault
    changes: list[Callable[[], None]] = [
        lambda: vault.put({"redis_shop": Secret("now")}),
        lambda: vault.put({"redis_shop": Secret("after")}, "pending"),
        lambda: vault.delete(["redis_shop"], ["previous"]),
        lambda: vault.promote(["redis_shop"]),
    ]
    for change in changes:
        if kind.writes:
            change()
        else:
            with pytest.raises(SecretError, match=vault.where("redis_shop")):
                change()
    assert values(vault, "redis_shop") == {"redis_shop": "after" if kind.writes else "before"}


def test_what_is_put_is_found_and_replaces_what_was(writing: Vault) -> None:
    for value in ("first", "second"):
        writing.put({"redis_shop": Secret(value)})
        assert values(writing, "redis_shop") == {"redis_shop": value}
    assert values(writing, "redis_shop", version="pending") == {}


def test_its_age_is_known_where_it_can_be_told(writing: Vault) -> None:
    writing.put({"redis_shop": Secret("x")})
    changed = writing.get_many(["redis_shop"])["redis_shop"].changed
    assert changed is None or changed > 1_700_000_000


def test_a_rotation_step_by_step(writing: Vault) -> None:
    writing.put({"redis_shop": Secret("old")})
    writing.put({"redis_other": Secret("other")})
    writing.put({"redis_shop": Secret("new")}, "pending")
    assert values(writing, "redis_shop") == {"redis_shop": "old"}
    assert values(writing, "redis_shop", version="pending") == {"redis_shop": "new"}
    writing.promote(["redis_shop"])
    assert [values(writing, "redis_shop", version=one) for one in VERSIONS] == [
        {"redis_shop": "new"},
        {},
        {"redis_shop": "old"},
    ]
    writing.delete(["redis_shop"], ["previous"])
    assert values(writing, "redis_shop", version="previous") == {}
    assert values(writing, "redis_shop", "redis_other") == {
        "redis_shop": "new",
        "redis_other": "other",
    }


def test_a_rotation_that_is_given_up_leaves_the_current_secret(writing: Vault) -> None:
    writing.put({"redis_shop": Secret("old")})
    writing.put({"redis_shop": Secret("new")}, "pending")
    writing.delete(["redis_shop"], ["pending"])
    with pytest.raises(SecretError, match="pending"):
        writing.promote(["redis_shop"])
    assert values(writing, "redis_shop") == {"redis_shop": "old"}


def test_the_first_secret_may_come_by_a_promotion(writing: Vault) -> None:
    writing.put({"redis_shop": Secret("new")}, "pending")
    writing.promote(["redis_shop"])
    assert values(writing, "redis_shop") == {"redis_shop": "new"}
    assert values(writing, "redis_shop", version="previous") == {}


def test_a_promotion_that_was_done_is_not_done_twice(writing: Vault) -> None:
    writing.put({"redis_shop": Secret("old")})
    writing.put({"redis_shop": Secret("new")}, "pending")
    writing.promote(["redis_shop"])
    with pytest.raises(SecretError):
        writing.promote(["redis_shop"])
    assert values(writing, "redis_shop", version="previous") == {"redis_shop": "old"}


def test_several_are_promoted_together_and_what_was_promoted_already_stays(writing: Vault) -> None:
    names = ["redis_shop", "redis_other"]
    for name in names:
        writing.put({name: Secret(f"old-{name}")})
        writing.put({name: Secret(f"new-{name}")}, "pending")
    writing.promote(names)
    assert values(writing, *names) == {name: f"new-{name}" for name in names}
    assert values(writing, *names, version="previous") == {name: f"old-{name}" for name in names}
    writing.put({"redis_shop": Secret("newest")}, "pending")
    writing.promote(names)
    assert values(writing, *names) == {"redis_shop": "newest", "redis_other": "new-redis_other"}
    assert values(writing, *names, version="pending") == {}


def test_what_apps_read_is_replaced_as_a_whole_and_removed(kind: Kind) -> None:
    vault = kind.vault
    if not vault.writable:
        with pytest.raises(SecretError, match="shop"):
            vault.publish("shop", {"REDIS_URL": "redis://x"})
        assert vault.published(["shop"]) == {}
        return
    assert vault.published(["shop"]) == {}
    vault.publish("shop", {"REDIS_URL": "redis://one", "REDIS_USER": "shop"})
    vault.publish("chat-app", {})
    vault.publish("shop", {"REDIS_URL": 'redis://two\n"ü'})
    assert vault.published(["shop", "none", "chat-app"]) == {
        "shop": {"REDIS_URL": 'redis://two\n"ü'},
        "chat-app": {},
    }
    for _ in range(2):
        vault.unpublish("shop")
        assert vault.published(["shop", "chat-app"]) == {"chat-app": {}}


def test_deleted_is_gone_in_every_version_and_twice_is_no_error(writing: Vault) -> None:
    for value in ("first", "second"):
        writing.put({"redis_shop": Secret(value)}, "pending")
        writing.promote(["redis_shop"])
    writing.put({"redis_shop": Secret("third")}, "pending")
    writing.put({"redis_other": Secret("other")})
    for _ in range(2):
        writing.delete(["redis_shop"])
        assert [values(writing, "redis_shop", version=one) for one in VERSIONS] == [{}, {}, {}]
    assert values(writing, "redis_other") == {"redis_other": "other"}


# --- files


def test_a_reader_finds_a_current_secret_at_any_moment(tmp_path: Path) -> None:
    vault, reader = FilesVault(tmp_path / "secrets"), FilesVault(tmp_path / "secrets")
    found: set[str] = set()
    vault.put({"redis_shop": Secret("s0")})
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found.update(values(reader, "redis_shop").values() or {"missing"})

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(1, 50):
        vault.put({"redis_shop": Secret(f"s{number}")}, "pending")
        vault.promote(["redis_shop"])
    done.set()
    thread.join()
    assert found <= {f"s{number}" for number in range(50)}


def test_each_version_is_a_private_file_and_current_ones_are_docker_secrets(tmp_path: Path) -> None:
    vault = FilesVault(tmp_path / "secrets")
    vault.put({"redis_shop": Secret("old")})
    vault.put({"redis_shop": Secret("new")}, "pending")
    vault.promote(["redis_shop"])
    vault.put({"redis_shop": Secret("newer")}, "pending")
    there = {path.name: path for path in (tmp_path / "secrets").iterdir()}
    assert {name for name in there if not name.startswith(".")} == {"redis_shop"}
    assert set(there.values()) == set(vault.files(["redis_shop"]))
    assert there["redis_shop"].read_bytes() == b"new"
    for path in (tmp_path / "secrets", *there.values()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_what_an_app_reads_is_a_private_file_in_a_folder_that_a_container_can_mount(
    tmp_path: Path,
) -> None:
    vault = FilesVault(tmp_path / "secrets")
    vault.publish("shop", {"A": "1"})
    [path] = vault.documents(["shop"])
    private = [path, *path.parents[:3]]
    assert private[-1] == vault.folder
    assert [stat.S_IMODE(one.stat().st_mode) & 0o077 for one in private] == [0, 0, 0, 0]
    for damaged in ("{", "[]", '"x"'):
        path.write_text(damaged)
        assert vault.published(["shop"]) == {}
    vault.publish("shop", {"A": "2"})
    assert vault.published(["shop"]) == {"shop": {"A": "2"}}
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("step", ["write", "replace"])
def test_a_promotion_that_is_cut_short_goes_on(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = FilesVault(tmp_path / "secrets")
    vault.put({"redis_shop": Secret("old")})
    vault.put({"redis_shop": Secret("new")}, "pending")

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        if step == "write":
            patch.setattr("mngdb.disk.write", cut)
        else:
            patch.setattr(Path, "replace", cut)
        vault.promote(["redis_shop"])
    assert values(vault, "redis_shop") == {"redis_shop": "old"}
    vault.promote(["redis_shop"])
    assert [values(vault, "redis_shop", version=one) for one in ("current", "previous")] == [
        {"redis_shop": "new"},
        {"redis_shop": "old"},
    ]


def test_what_others_may_read_is_known_but_not_used(tmp_path: Path) -> None:
    vault = FilesVault(tmp_path)
    (tmp_path / "redis_shop").write_text("exposed")
    (tmp_path / "redis_shop").chmod(0o644)
    entry = vault.get_many(["redis_shop"])["redis_shop"]
    assert entry.secret == Secret("exposed")
    with pytest.raises(SecretError, match="readable by others"):
        entry.usable()


# --- read once


NEEDED = [f"redis_{number}" for number in range(16)]


class Counting(FilesVault):
    """Counts what is asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[list[str]] = []

    def get_many(self, names: Iterable[str], version: Version = "current") -> dict[str, Entry]:
        self.asked.append(list(names))
        return super().get_many(self.asked[-1], version)


def counted(folder: Path, *, keep: bool = True) -> tuple[Counting, CachedVault]:
    counting = Counting(folder)
    return counting, CachedVault(counting, lambda: NEEDED, keep=keep)


def test_all_that_is_needed_is_read_once(tmp_path: Path) -> None:
    counting, vault = counted(tmp_path / "secrets")
    assert [vault.get(name) for name in NEEDED] == [None] * 16
    assert [sorted(names) for names in counting.asked] == [sorted(NEEDED)]
    vault.put({name: generate() for name in NEEDED})
    made = {vault.get(name) for name in NEEDED}
    assert None not in made
    assert len(made) == 16
    assert len(counting.asked) == 1
    vault.get("redis_other")
    vault.get("redis_other")
    assert counting.asked[1:] == [["redis_other"]]


def test_threads_that_ask_at_once_read_once(tmp_path: Path) -> None:
    counting, vault = counted(tmp_path / "secrets")
    threads = [threading.Thread(target=vault.get, args=("redis_1",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counting.asked) == 1


def test_who_runs_on_sees_every_change(tmp_path: Path) -> None:
    counting, vault = counted(tmp_path / "secrets", keep=False)
    assert vault.get("redis_1") is None
    FilesVault(tmp_path / "secrets").put({"redis_1": Secret("x")})
    assert vault.get("redis_1") == Secret("x")
    assert counting.asked == [["redis_1"], ["redis_1"]]


def test_who_runs_on_asks_aws_again_when_its_answer_is_old(
    server: SecretsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.forget()
    in_aws(server).put({"redis_1": Secret("x")})
    vault = CachedVault(in_aws(server), lambda: NEEDED, keep=False)
    server.calls()
    assert [vault.get("redis_1") for _ in range(9)] == [Secret("x")] * 9
    assert server.calls() == ["GetSecretValue"]
    assert vault.fresh == AwsVault.fresh
    monkeypatch.setattr(vault, "_asked", vault._asked - AwsVault.fresh - 1)
    in_aws(server).put({"redis_1": Secret("y")})
    assert vault.get("redis_1") == Secret("y")
