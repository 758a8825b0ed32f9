"""${VAR} in values, and several files over each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from mngdb.errors import SpecError
from mngdb.spec.load import load
from mngdb.spec.postgres import PostgresInstance
from tests.unit.spec import refused, stack


def test_a_variable_is_filled_in() -> None:
    assert stack("name: team-${WHO}\npostgres:", WHO="a").name == "team-a"


@pytest.mark.parametrize("variables", [{}, {"WHO": ""}])
def test_a_default_stands_for_an_unset_and_for_an_empty_variable(variables: dict[str, str]) -> None:
    assert stack("name: ${WHO:-mng}\npostgres:", **variables).name == "mng"


@pytest.mark.parametrize(("value", "port"), [("5433", 5433), ("05433", 5433)])
def test_a_plain_value_has_its_type_after_filling_in(value: str, port: int) -> None:
    assert stack("postgres:\n  port: ${P}", P=value).instances["postgres"].spec.port == port
    assert stack("tls: ${T}\npostgres:", T="true").instances["postgres"].tls is True
    assert stack("postgres: ${NONE:-}").instances["postgres"].spec.port == 5432


def test_a_quoted_value_stays_a_text() -> None:
    assert "postgres.port: has to be a port number or 'auto', not '5433'" in refused(
        'postgres: {port: "${P}"}', P="5433"
    )


def test_two_dollars_are_one_and_are_not_filled_in_again() -> None:
    settings = stack("postgres: {settings: {a: '$${X}', b: $5, c: '${Y}'}}", Y="${X}")
    assert settings.instances["postgres"].spec.settings == {"a": "${X}", "b": "$5", "c": "${X}"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: ${WHO}\npostgres:", "mngdb.yaml:1:7: the variable WHO is not set\n  hint: set it"),
        ("name: ${EMPTY}\npostgres:", "mngdb.yaml:1:7: the variable EMPTY is empty"),
        ("name: ${WHO\npostgres:", "mngdb.yaml:1:7: a '${' that does not start a variable"),
        ("name: ${WHO?no}\npostgres:", "mngdb.yaml:1:7: a '${' that does not start a variable"),
        ("name: ${1}\npostgres:", "mngdb.yaml:1:7: a '${' that does not start a variable"),
        ("${WHO}: 1\n", "mngdb.yaml:1:1: variables are expanded in values"),
        ("apps:\n  '${A}': {}\n", "mngdb.yaml:2:3: variables are expanded in values"),
        ("postgres: {port: ${P}}", "on a line of its own"),
        ("name: x${BAD}\npostgres:", "a variable is not valid UTF-8"),
    ],
)
def test_a_variable_that_cannot_be_filled_in_is_refused(text: str, said: str) -> None:
    assert said in refused(text, EMPTY="", BAD="\udcff")


def test_a_filled_in_name_is_checked_as_a_written_one() -> None:
    assert "is not a valid name" in refused("name: ${N}\npostgres:", N="a'; drop database x; --")
    assert "'a\\nb'" in refused("postgres:\napps: {a: {postgres: '${N}'}}", N="a\nb")


def files(folder: Path, *texts: str) -> list[Path]:
    found = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.yaml"
        path.write_text(text)
        found.append(path)
    return found


def test_later_files_win_key_by_key(tmp_path: Path) -> None:
    found = load(
        files(
            tmp_path,
            "name: a\npostgres: {port: 1111, slow: 1s}\nredis: {bind: [127.0.0.1, '::1']}\n"
            "apps: {x: {postgres: x}}",
            "postgres: {port: 2222}\nredis: {bind: [127.0.0.2]}\napps: {y: {postgres: y}}",
            "name: c\npostgres:\n",
        ),
        {},
    )
    assert (found.name, found.folder) == ("c", tmp_path.resolve())
    postgres = found.instances["postgres"].spec
    assert isinstance(postgres, PostgresInstance)
    assert (postgres.port, postgres.slow.total_seconds()) == (2222, 1)
    assert found.instances["redis"].spec.bind == ["127.0.0.2"]
    assert list(found.apps) == ["x", "y"]


def test_an_error_names_the_file_that_holds_the_line(tmp_path: Path) -> None:
    paths = files(
        tmp_path,
        "postgres:\n  prot: 1\n",
        "postgres:\n\n  port: many\nredis:\n  port: 5432\n",
        "apps:\n  a:\n    mongo: x\n",
    )
    with pytest.raises(SpecError) as caught:
        load(paths, {})
    assert caught.value.message.splitlines() == [
        f"{paths[0]}:2:3: unknown key 'prot' (did you mean 'port'?)",
        f"{paths[1]}:3:9: postgres.port: has to be a port number or 'auto', not 'many'",
    ]
    paths[0].write_text("postgres: {}\n")
    paths[1].write_text("redis:\n  port: 5432\n")
    with pytest.raises(SpecError) as caught:
        load(paths, {})
    assert caught.value.message.splitlines()[0].startswith(f"{paths[1]}:2:9: redis.port: redis and")
    assert f"{paths[2]}:3:5: unknown instance 'mongo' (did you mean 'mongodb'?)" in (
        caught.value.message
    )


def test_a_conflict_across_files_is_found(tmp_path: Path) -> None:
    first, second = files(
        tmp_path, "postgres:\napps: {a: {postgres: x}}\n", "apps: {b: {postgres: x}}\n"
    )
    with pytest.raises(SpecError, match="a and b both own the database 'x'") as caught:
        load([first, second], {})
    assert caught.value.message.startswith(f"{second}:1:")
