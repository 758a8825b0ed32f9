"""What commands show on a narrow terminal: lines end at words; in a pipe they do not."""

from __future__ import annotations

import click
import pytest

from mngdb.cli.layout import columns
from tests.conftest import Cli
from tests.terminal import screen

#: Commands that need no server, and the longest word that they show.
SHOWN = [
    ("--help",),
    ("check", "--help"),
    ("check", "--list", "--only", "redis.*"),
    ("render", "preset", "django"),
    ("render", "preset"),
    ("plan",),
    ("doctor", "nobody-of-this-name"),
]
FILE = """
name: narrow
redis: {port: PORT1}
apps:
  a-name-that-is-long: {redis: "a-name-that-is-long:*"}
  shop: {redis: "shop:*"}
"""


@pytest.mark.parametrize("most", [40, 60])
@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_lines_end_at_words(cli: Cli, words: tuple[str, ...], most: int) -> None:
    cli.write(FILE)
    lines = click.unstyle(screen(cli.argv(*words), most, cli.folder, cli.environ())).split("\n")
    assert len(lines) > 2
    for line in lines:
        # one word may be longer than the terminal: a path, the name of a setting
        assert columns(line) <= most or len(line.split()) == 1, line


def test_a_pipe_gets_whole_lines(cli: Cli) -> None:
    cli.write(FILE)
    narrow = Cli(cli.folder, {"COLUMNS": "40"})
    found = narrow.ok("check", "--list", "--only", "redis.login-required")
    assert "clients must authenticate" in found.splitlines()[1]
    assert len(found.splitlines()) == 2
    config = screen(cli.argv("config"), 40, cli.folder, cli.environ())
    assert config == cli.ok("config")  # a document, to be copied
