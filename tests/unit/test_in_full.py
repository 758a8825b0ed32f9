"""Hints name the files and the target that the command was given which shows them."""

from __future__ import annotations

import pytest

from mngdb.cli.common import Options, in_full
from tests.conftest import Cli

OTHER = Options(files=["a.yaml", "my b.yaml"], target="local")
GIVEN = "mngdb -f a.yaml -f 'my b.yaml' --target local"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'mngdb up' starts it", f"'{GIVEN} up' starts it"),
        ("mngdb logs pg; 'mngdb restart pg'", f"{GIVEN} logs pg; '{GIVEN} restart pg'"),
        (
            "restore it, or start empty: mngdb up --new",
            f"restore it, or start empty: {GIVEN} up --new",
        ),
        ("`mngdb up` sets it", f"`{GIVEN} up` sets it"),
        (f"{GIVEN} up", f"{GIVEN} up"),
        ("/usr/bin/mngdb up", "/usr/bin/mngdb up"),
        ("another mngdb works on it", "another mngdb works on it"),
        ("mngdb upgrades", "mngdb upgrades"),
    ],
)
def test_commands_in_a_text_get_the_options(text: str, shown: str) -> None:
    assert in_full(text, OTHER) == shown
    assert in_full(text, Options()) == text


def test_every_hint_of_a_command_has_its_file(cli: Cli) -> None:
    cli.write("name: mng\nredis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\n")
    (cli.folder / "mngdb.yaml").rename(cli.folder / "other.yaml")
    for command in ("plan", "status", "doctor", "sessions"):
        done = cli.run("-f", "other.yaml", command)
        hints = [line for line in (done.stdout + done.stderr).splitlines() if "mngdb " in line]
        assert hints, command
        assert all("mngdb -f other.yaml " in line for line in hints), hints
