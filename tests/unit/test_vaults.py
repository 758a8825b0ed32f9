"""What counts as a usable secret, and how vaults keep them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mngdb import disk
from mngdb.errors import SecretError
from mngdb.secret import Secret, generate
from mngdb.vaults import Entry, usable
from mngdb.vaults.environ import EnvironVault
from mngdb.vaults.files import FilesVault

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)


@given(VISIBLE, st.sampled_from(["", "\n", "\r\n"]))
def test_every_visible_ascii_text_is_a_secret_with_or_without_a_line_end(
    text: str, end: str
) -> None:
    assert usable("name", text + end).reveal() == text


@given(VISIBLE, st.characters(exclude_characters="".join(map(chr, range(0x21, 0x7F)))), VISIBLE)
def test_any_other_character_inside_is_refused_without_being_repeated(
    before: str, bad: str, after: str
) -> None:
    with pytest.raises(SecretError) as caught:
        usable("name", before + bad + after)
    assert caught.value.message == (
        "the secret name has characters that are not safe in every URL and shell"
    )


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("hunter2hunter2")
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r}",
        repr([secret]),
        repr({1: secret}),
    ]
    assert not any("hunter" in text for text in shown)


def test_generated_secrets_differ_and_read_the_same_in_urls_and_shells() -> None:
    found = {generate().reveal() for _ in range(200)}
    assert len(found) == 200
    for value in found:
        assert len(value) == 40
        assert usable("name", value).reveal() == value
        assert all(c.isalnum() or c in "-_.~" for c in value)


def test_files_are_private_from_the_first_byte(tmp_path: Path) -> None:
    os.umask(0)
    try:
        vault = FilesVault(tmp_path / "secrets")
        vault.put({"redis_admin": Secret("x")})
    finally:
        os.umask(0o022)
    path = tmp_path / "secrets" / "redis_admin"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_of_other_things_is_not_made_private(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    vault = FilesVault(shared, named=True)
    vault.put({"a": Secret("x")})
    assert shared.stat().st_mode & 0o777 == 0o700  # it was empty
    shared.chmod(0o755)
    vault.put({"a": Secret("y")})  # and holds secrets alone
    shared.chmod(0o755)
    (shared / "notes").touch(mode=0o644)
    with pytest.raises(SecretError, match="holds more than secrets"):
        vault.put({"a": Secret("z")})
    assert shared.stat().st_mode & 0o777 == 0o755


def test_a_file_where_the_folder_should_be_is_told_as_the_secrets_fault(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("")
    with pytest.raises(SecretError, match="cannot be written"):
        FilesVault(tmp_path / "secrets").put({"a": Secret("x")})


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("redis_chat-app", "MNGDB_SECRET_REDIS_CHAT_APP"),
        ("postgres_admin", "MNGDB_SECRET_POSTGRES_ADMIN"),
    ],
)
def test_the_environ_vault_reads_its_variable(name: str, variable: str) -> None:
    vault = EnvironVault({variable: "abc"})
    assert vault.where(name) == variable
    assert vault.get_many([name, "other"]) == {name: Entry(Secret("abc"))}
    with pytest.raises(SecretError, match=variable):
        vault.check_writable([name])


def test_a_secret_that_a_full_disk_does_not_take_is_told_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(disk, "write", full)
    with pytest.raises(SecretError, match="cannot be written: No space left") as caught:
        FilesVault(tmp_path / "secrets").put({"redis_mail": generate()})
    assert caught.value.hint == "free space, then run the same command again"
