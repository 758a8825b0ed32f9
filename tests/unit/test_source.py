"""YAML as the file takes it: places, types, and what would harm."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mngdb.errors import SpecError, UsageError
from mngdb.spec import source
from mngdb.spec.yaml12 import dump
from tests.growth import grows_linearly
from tests.unit.spec import refused, stack


def data(text: str) -> object:
    return source.parse(text, "f", {}).data


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("03:00", "03:00"),
        ("12:30:45", "12:30:45"),
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("2024-01-31", "2024-01-31"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("0o17", "0o17"),
        ("007", 7),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("'17'", "17"),
        ("!!str 17", "17"),
        ("! 17", "17"),
        ("=", "="),
        (".inf", ".inf"),
    ],
)
def test_a_scalar_has_its_type_of_yaml_1_2(scalar: str, value: object) -> None:
    found = data(f"a: {scalar}")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_a_version_keeps_its_last_zero() -> None:
    assert stack("postgres:\n  version: 17.10").instances["postgres"].spec.version == "17.10"


def test_every_value_and_key_has_its_place() -> None:
    document = source.parse("a:\n  - b: 1\n    c: [x, y]\n", "f", {})
    assert str(document.place(("a", 0, "c"), key=True)) == "f:3:5"
    assert str(document.place(("a", 0, "c", 1))) == "f:3:12"
    assert str(document.place(("a", 0, "missing"))) == "f:2:5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgres: {}\nredis: {}\npostgres: {}\n", "3:1: the key 'postgres' is used twice, first"),
        ("a: &a [*a]\n", "1:8: the alias *a refers to itself"),
        ("a: &a {b: {c: *a}}\n", "1:15: the alias *a refers to itself"),
        ("a: *b\n", "1:4: the alias *b is not defined"),
        ("a: b\n---\nc: d\n", "2:1: a second document"),
        ("- a\n", "1:1: the file has to be a mapping"),
        ("7\n", "1:1: the file has to be a mapping"),
        ("? [a]\n: b\n", "1:3: a key has to be a plain scalar"),
        ("a: \0b\n", "1:4: the character U+0000"),
        ("ok: 1\nb: x\x1by\n", "2:5: the character U+001B"),
        ("a: \ufffe\n", "1:4: the character U+FFFE"),
        ("a:\n\tb: 1\n", "2:1: "),
        ("postgres: !!python/object:os.system {}\n", "1:11: the tag '!!python/object:os.system'"),
        ("postgres: !mine {}\n", "1:11: the tag '!mine' is not allowed"),
        ("a: !!bool perhaps\n", "1:4: the tag '!!bool' is not allowed"),
        ("a: !!int x\n", "1:4: the tag '!!int' is not allowed"),
        ("a: " + "9" * 5000, "1:4: '9999"),
        ("a: 1.0e999", "1:4: '1.0e999' is out of range"),
        ("a: [\n", "2:1: "),
    ],
)
def test_what_is_no_file_is_refused_at_its_place(text: str, said: str) -> None:
    assert refused(text).startswith(f"mngdb.yaml:{said}")


def test_an_empty_file_is_refused_with_the_way_out() -> None:
    for text in ("", "\n\n", "# only a comment\n", "---\n...\n"):
        said = refused(text)
        assert "the file" in said
    assert "mngdb init" in refused("")


#: What would take a careless reader hours, or its memory, by about how many characters.
HOSTILE: dict[str, Callable[[int], str]] = {
    "flow": lambda size: "[" * size,
    "maps": lambda size: "{a: " * size,
    "dashes": lambda size: "- " * (2 * size),
    "questions": lambda size: "? " * size,
    "indent": lambda size: "".join(" " * i + "a:\n" for i in range(math.isqrt(2 * size))),
    "laughs": lambda size: (
        f"a: &a [{'x,' * 9}x]\n"
        + "\n".join(
            f"b{i}: &b{i} [{','.join([f'*b{i - 1}' if i else '*a'] * 10)}]"
            for i in range(4 + size // 2_000)  # both sizes are beyond what is followed
        )
    ),
    "word": lambda size: f"a: '{'x' * 10 * size}'",
    "urls": lambda size: f"a: '{'://' * 3 * size}'",
    "passwords": lambda size: f"a: '{'password ' * size}'",
    "long list": lambda size: f"a: [{'x,' * 4 * size}]",
    "many keys": lambda size: "\n".join(f"k{i}: 1" for i in range(size)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_time(text: Callable[[int], str]) -> None:
    def refuse(size: int) -> None:
        assert len(refused(text(size))) < 10_000

    grows_linearly(refuse, 4_000)


def test_crlf_and_a_byte_order_mark_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbfname: x\r\npostgres: {}\r\n")
    assert source.read(path, {}).data == {"name": "x", "postgres": {}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: x\n".encode("utf-16"), "not UTF-8 text (byte 0)"),
        (b"name: \xff\n", "not UTF-8 text (byte 6)"),
        (b"a: b\n" * 2_000_000, "larger than 1 MB"),
    ],
    ids=["utf-16", "latin-1", "10 MB"],
)
def test_a_file_that_is_no_utf8_or_too_large_is_refused(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(SpecError) as caught:
        source.read(tmp_path / "f", {})
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("name", "said"),
    [("none", "no such file"), (".", "Is a directory"), ("a" * 5000, "File name too long")],
)
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        source.read(tmp_path / name, {})


@pytest.mark.root
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("name: x")
    path.chmod(0)
    tmp_path.chmod(0o755)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chdir(tmp_path)
            os.setuid(65534)
            source.read(Path("f"), {})
        except UsageError as error:
            code = 0 if "Permission denied" in error.message else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "value",
    ["08", "on", "yes", "1e3", "0x10", "null", "", "1:30", "${X}", "$$", " a ", "é\n", "=", "~"],
)
def test_a_text_that_is_written_reads_back(value: str) -> None:
    assert data(dump({"a": value, "b": [value]})) == {"a": value, "b": [value]}
