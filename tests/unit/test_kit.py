"""What a kit's text and file hold, and who can read it."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mngdb.errors import MngdbError, UsageError
from mngdb.ops.backup import kit as kits
from mngdb.ops.backup import place
from mngdb.ops.backup.kit import Kit
from mngdb.ops.backup.rebuild import Rebuilt, rebuild
from mngdb.ops.backup.sources import Origins, Source, origins, settle
from mngdb.secret import Secret

PASSPHRASE = Secret("five random words of a person")
OLD = Path(__file__).parents[1] / "data" / "kit.age"
TEXTS = st.text(st.characters(codec="utf-8"))


def made(**more: object) -> Kit:
    base: dict[str, object] = {
        "made": "2026-11-29T12:00:00Z",
        "name": "mng",
        "backups": (Source("a" * 32, "/srv/backups"),),
        "key": "AGE-SECRET-KEY-1ABC",
        "recipients": ("age1xyz",),
        "secrets": {"redis_admin": "s3cret"},
        "files": {"mngdb.yaml": "redis: {}\n"},
    }
    return Kit(**{**base, **more})  # type: ignore[arg-type]


@given(st.dictionaries(TEXTS, TEXTS), st.dictionaries(TEXTS, TEXTS), st.none() | TEXTS)
def test_whatever_it_holds_is_read_again(
    secrets: dict[str, str], files: dict[str, str], key: str | None
) -> None:
    kit = made(secrets=secrets, files=files, key=key)
    assert kits.decode(kits.encode(kit)) == kit


def test_the_files_stand_there_as_people_wrote_them() -> None:
    text = kits.encode(made(files={"mngdb.yaml": "# ours\nredis:\n  port: 6379\n"}))
    assert "    # ours\n    redis:\n      port: 6379\n" in text


@pytest.mark.parametrize("text", ["", "[]", "a: [", "format: 1", "\0", "x: &a [*a]"])
def test_what_is_no_kit_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        kits.decode(text)


def test_a_kit_of_a_later_version_is_refused() -> None:
    text = kits.encode(made(format=2))
    assert yaml.safe_load(text)["format"] == 2
    with pytest.raises(UsageError, match="format 2"):
        kits.decode(text)


def test_file_and_page_are_private_and_hold_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kits, "seal", lambda _, __: OLD.read_text())
    file, page = kits.save(made(), PASSPHRASE, tmp_path / "kit.age")
    assert [path.stat().st_mode & 0o777 for path in (file, page)] == [0o600, 0o600]
    assert page.read_text().isascii()
    assert "s3cret" not in page.read_text()
    assert file.read_text().strip() in page.read_text()


def test_file_and_page_open_with_their_passphrase_and_no_other(tmp_path: Path) -> None:
    """One that was made before, with a work factor of 10: with the usual one, of 17 to 20, each
    look takes seconds, and up to 1 GB. That is for tests/live/test_kit.py."""
    page = tmp_path / "page"
    page.write_text(kits.page(made(), OLD.read_text()))
    for path in (OLD, page):
        assert kits.decode(kits.unseal(path, PASSPHRASE)).secrets == {"redis_admin": "s3cret"}
        with pytest.raises(UsageError, match="passphrase"):
            kits.unseal(path, Secret("another one of somebody"))


def test_where_opening_takes_too_long_another_machine_may_do_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = OLD.read_text().split("\n")
    sealed = base64.b64decode("".join(lines[1 : lines.index("-----END AGE ENCRYPTED FILE-----")]))
    file, waits = tmp_path / "kit.age", list[float]()
    file.write_bytes(sealed.replace(b" 10\n", b" 40\n", 1))
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(UsageError, match="longer") as caught:
        kits.unseal(file, PASSPHRASE)
    assert len(waits) > 2
    assert "age -d" in str(caught.value.hint)
    assert kits.opened(file) is None
    file.write_text(kits.encode(made()))  # as age -d gives it
    assert kits.decode(kits.opened(file) or "") == made()


def test_a_page_names_whose_key_is_needed() -> None:
    assert "age1xyz" in kits.page(made(key=None), "")
    assert "age1xyz" not in kits.page(made(), "")


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(UsageError, match="characters"):
        kits.seal(made(), Secret("x" * (kits.SHORTEST - 1)))


@pytest.mark.parametrize("content", [b"", b"no kit", b"\xff" * 100])
def test_a_file_that_is_no_kit_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match="not a kit"):
        kits.unseal(tmp_path / "x", PASSPHRASE)


# --- set up from one


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a snapshot of the stack, as far as its name tells."""
    folder = tmp_path / "store" / "mngdb-1" / ("a" * 32) / "redis" / "x"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return tmp_path / "store"


def set_up(tmp_path: Path, kit: Kit, store: Path) -> Rebuilt:
    environ = {"MNGDB_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    return rebuild(kit, tmp_path / "project", environ, store=str(store))


def test_the_new_stack_has_the_secrets_and_an_identity_of_its_own(
    tmp_path: Path, store: Path
) -> None:
    made_ = set_up(tmp_path, made(secrets={"redis_admin": "s3cret", "../../x": "y"}), store)
    context = made_.context
    assert context.located.record.id != "a" * 32
    assert {one.name for one in (context.stack.state / "secrets").iterdir()} == {
        "redis_admin",
        "backup_key",
    }
    assert origins(context.stack.state) == Origins((Source("a" * 32, str(store)),), ("redis",))
    assert place.catalog(context).stack != "a" * 32
    assert [one.stack for one in place.catalogs(context, "redis")] == ["a" * 32]
    settle(context.stack.state, "redis")
    assert len(place.catalogs(context, "redis")) == 2


def test_what_the_environment_had_is_written_for_a_shell(tmp_path: Path, store: Path) -> None:
    kit = made(
        files={"mngdb.yaml": "redis:\n  port: ${PORT}\nvault: environ\n"},
        variables={"PORT": "7001"},
    )
    found = set_up(tmp_path, kit, store)
    assert found.variables is not None
    assert found.variables.stat().st_mode & 0o777 == 0o600
    lines = found.variables.read_text().splitlines()
    assert {"export PORT=7001", "export MNGDB_SECRET_REDIS_ADMIN=s3cret"} <= set(lines)
    admin = found.context.vault.get("redis_admin")
    assert admin is not None
    assert admin.reveal() == "s3cret"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"files": {"mngdb.yaml": "nonsense: 1\n"}}, "nonsense"),
        ({"files": {"../mngdb.yaml": "redis: {}\n"}}, "in a folder's own"),
        ({"backups": (Source("b" * 32, "/"),)}, "no snapshots"),
    ],
)
def test_what_cannot_be_set_up_leaves_nothing(
    tmp_path: Path, store: Path, more: dict[str, object], said: str
) -> None:
    with pytest.raises(MngdbError, match=said):
        set_up(tmp_path, made(**more), store)
    assert {one.name for one in tmp_path.iterdir()} <= {"store", "state"}
    assert not list(tmp_path.glob("state/stacks/*-*"))


def vault_with(tmp_path: Path, name: str) -> tuple[Path, Kit]:
    """A vault that has another secret than the kit, and the kit."""
    vault = tmp_path / "vault"
    vault.mkdir(mode=0o700)
    (vault / name).touch(0o600)
    (vault / name).write_text("another")
    return vault, made(files={"mngdb.yaml": "redis: {}\nvault: {files: {path: ../vault}}\n"})


def test_a_vault_that_outlived_the_machine_keeps_its_passwords(tmp_path: Path, store: Path) -> None:
    vault, kit = vault_with(tmp_path, "redis_admin")
    assert set_up(tmp_path, kit, store).newer == ("redis_admin",)
    assert (vault / "redis_admin").read_text() == "another"
    assert (vault / "backup_key").read_text() == kit.key


def test_a_vault_with_another_key_of_the_backups_is_refused(tmp_path: Path, store: Path) -> None:
    vault, kit = vault_with(tmp_path, "backup_key")
    with pytest.raises(UsageError, match="another secret"):
        set_up(tmp_path, kit, store)
    assert (vault / "backup_key").read_text() == "another"
    assert [one.name for one in vault.iterdir()] == ["backup_key"]
