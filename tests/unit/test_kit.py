"""What a kit's text and file hold, and who can read it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mngdb.errors import UsageError
from mngdb.ops.backup import kit as kits
from mngdb.ops.backup.kit import Kit
from mngdb.ops.backup.place import Source
from mngdb.secret import Secret

PASSPHRASE = Secret("five random words of a person")
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


def test_file_and_page_open_with_the_passphrase_alone(tmp_path: Path) -> None:
    kit = made()
    file, page = kits.save(kit, PASSPHRASE, tmp_path / "kit.age")
    assert [path.stat().st_mode & 0o777 for path in (file, page)] == [0o600, 0o600]
    assert page.read_text().isascii()
    for path in (file, page):
        assert kits.decode(kits.unseal(path, PASSPHRASE)) == kit
        assert "s3cret" not in path.read_text()
        with pytest.raises(UsageError, match="passphrase"):
            kits.unseal(path, Secret("another one of somebody"))


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
