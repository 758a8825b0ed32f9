"""What the file says of several databases, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mngdb.errors import SpecError
from mngdb.spec.load import load
from mngdb.spec.postgres import PostgresGrant


def _grant(**keys: Any) -> PostgresGrant:
    return PostgresGrant.model_validate(keys)


def test_the_first_is_the_main_one_unless_it_is_named() -> None:
    assert _grant(databases=["shop", "test", "t_*"]).names == ("shop", "test")
    assert _grant(database="test", databases=["shop", "test"]).names == ("test", "shop")
    assert _grant(database="shop").names == ("shop",)


def test_a_prefix_covers_names_that_begin_with_it_but_the_servers_own() -> None:
    grant = _grant(databases=["shop", "post*", "template*"])
    assert [
        name for name in ("shop", "post1", "postgres", "template1", "sho") if grant.covers(name)
    ] == [
        "shop",
        "post1",
    ]


def test_variables_of_names_that_differ_in_no_letter_are_numbered() -> None:
    names = ["shop", "shop-test", "shop_test", "상점"]
    assert _grant(databases=names).others() == {
        "SHOP_TEST": "shop-test",
        "3": "shop_test",
        "4": "상점",
    }


def test_a_number_of_a_variable_is_that_of_no_database() -> None:
    names = ["shop", "상점", "2", "3", "가게"]
    assert _grant(databases=names).others() == {"2": "2", "3": "3", "4": "상점", "5": "가게"}


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("postgres: {databases: ['t_*']}", "the first database is the main one"),
        ("postgres: {databases: [a, '*']}", "every database of the server"),
        ("postgres: {databases: [a, '*_test']}", "'*_test': '*' can only be the end"),
        ("postgres: 'a_*'", "databases: [NAME, 'a_*']"),
        ("postgres: {databases: [a, a]}", "listed twice"),
        ("postgres: {databases: [a, postgres]}", "the server's own database"),
        ("postgres: {databases: []}", "needs at least one entry"),
        ("postgres: {databases: a}", "has to be a list: [a]"),
        ("postgres: {databses: [a]}", "unknown key 'databses' (did you mean 'databases'?)"),
        (
            "postgres: {database: a, access: readonly, create_databases: true}",
            "creates no databases",
        ),
        ("mongodb: {databases: [a, 't_*']}", "whole names only"),
    ],
)
def test_wrong_values_are_told_in_a_sentence(tmp_path: Path, right: str, said: str) -> None:
    assert said in _told(tmp_path, f"apps: {{a: {{{right}}}}}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[a, b]", "[b]"),
        ("[a, 'b*']", "[bc]"),
        ("[bc]", "[a, 'b*']"),
        ("[a, 'b*']", "[c, 'bc*']"),
    ],
)
def test_two_apps_do_not_own_one_database(tmp_path: Path, one: str, other: str) -> None:
    apps = (
        f"apps: {{x: {{postgres: {{databases: {one}}}}}, y: {{postgres: {{databases: {other}}}}}}}"
    )
    assert "x and y both own the database" in _told(tmp_path, apps)


def _told(folder: Path, apps: str) -> str:
    path = folder / "mngdb.yaml"
    path.write_text(f"name: t\npostgres: {{}}\nmongodb: {{}}\n{apps}\n")
    with pytest.raises(SpecError) as error:
        load([path], {})
    return str(error.value)
