"""Names that others gave, in what is shown and pasted."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Never

import click
import pytest

from mngdb.cli.fold import line
from mngdb.facts.sessions import OneSession, Sessions
from mngdb.model import Step
from mngdb.words import colourless, harmless, kind, named


@pytest.mark.parametrize(
    "name",
    ["shop", "database shop", "x'$(touch pwn)'y", "a`touch pwn`", 'a"; touch pwn; "', "$HOME"],
)
def test_a_name_in_a_command_that_is_pasted_is_one_word(name: str, tmp_path: Path) -> None:
    line = f"printf %s {named(name)}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.decode() == name
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_several_lines_stays_one_word_on_one_line() -> None:
    assert shlex.split(named("a\nb\x1b[8m")) == ["a\\x0ab\\x1b[8m"]


@pytest.mark.parametrize("command", ["[8m", "[0;8m", "[7m", "[30;40m", "[108m", "]0;x\x07"])
def test_no_command_that_conceals_text_reaches_a_terminal(command: str) -> None:
    assert "\x1b" not in harmless(f"a\x1b{command}b")


def test_colours_of_ours_are_shown_and_those_of_a_log_are_not() -> None:
    ours = click.style("a\tb", fg="bright_red", bold=False) + click.style("c", dim=True)
    assert harmless(ours) == ours
    assert colourless("a\t\x1b[31mb") == "a\t\\x1b[31mb"


def test_a_step_is_a_line_whatever_its_object_is_called() -> None:
    step: Step[Never] = Step("postgres", "postgres", "revoke", "x\n  hint: no\x1b[8m", "y", print)
    said = line(step)
    assert "\n" not in said
    assert "\x1b[8m" not in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT 'x'", "SELECT"),
        ("select(1)", "select"),
        ("COMMIT", "COMMIT"),
        ("SEKRET6", ""),
        ("SEKRET foo", ""),
        ("SELECT6", ""),
        ("set_my_password", ""),
        ("", ""),
    ],
)
def test_what_is_no_statement_has_no_kind(text: str, shown: str) -> None:
    assert kind(text) == shown
    session = OneSession("1", "shop", "shop", "", "idle", 1.0, text)
    (told,) = Sessions(9, (session,), texts=True).without_text().sessions
    assert told.doing == shown
