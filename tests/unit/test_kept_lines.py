"""Lines of a unit's file that stay as they are: the logins of apps whose secrets cannot be used."""

from __future__ import annotations

import pytest

from mngdb.model import File


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("user shop #old\nuser shop2 #gone\n", "user admin #a\nuser shop #old\nuser shop2 #new\n"),
        ("user shop2 #gone\n", "user admin #a\nuser shop2 #new\n"),
        ("", "user admin #a\nuser shop2 #new\n"),
    ],
    ids=["as it was", "not there", "no file"],
)
def test_kept_lines_are_those_of_the_file_that_is_there(before: str, after: str) -> None:
    content = "user admin #a\nuser shop #made-up\nuser shop2 #new\n"
    assert File("users.acl", content, ("user shop ",)).over(before) == File("users.acl", after)
