"""What README.md shows is what happens. README.ko.md shows the same."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from mngdb.cli.commands import COMMANDS
from mngdb.cli.main import cli as group
from tests.conftest import ROOT, Cli

README, KOREAN = (ROOT / name for name in ("README.md", "README.ko.md"))
#: What differs from run to run and from machine to machine.
_VARYING = [
    (r"\d+\.\d s", "N s"),
    (r"\b\d+ MB", "N MB"),
    (r"\b\d+s\b", "Ns"),
    (r"17\.\d+", "17.N"),
    (r"8\.\d+\.\d+", "8.N"),
    (r"[ ]{2,}", "  "),
    (r"[ ]+$", ""),
]


def _blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def _plain(text: str) -> list[str]:
    """Lines without what varies. Progress of servers that start side by side has no order."""
    for pattern, word in _VARYING:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if line.strip()]
    # root's stacks have their data elsewhere, and say so; a busy machine has servers that are slow
    own = r"note: the data is in|\S+  waiting, "
    return sorted(line for line in lines if not re.match(own, line))


@pytest.mark.live
def test_the_output_that_is_shown_is_the_output(cli: Cli) -> None:
    example = cli.folder / "examples" / "mng-db"
    example.mkdir(parents=True)
    (example / "mngdb.yaml").write_text((ROOT / "examples/mng-db/mngdb.yaml").read_text())
    # on ports of its own, so that a machine's own servers are no obstacle
    cli.write(
        "postgres: {port: PORT1}\nredis: {port: PORT2}\n"
        "agent: {ports: {postgres: PORT3, redis: PORT4, mongodb: PORT5, mngdb: PORT6}}\n"
    )
    cli.folder = example
    usual_ports = ("5432", "6379", "9187", "9121", "9216", "9321")
    ports = {port: str(cli.port(number)) for number, port in enumerate(usual_ports, start=1)}
    # of both pages: what the Korean one shows is the same, or is looked at, too
    blocks = dict.fromkeys(_blocks(README, "console") + _blocks(KOREAN, "console"))
    shown = [block for block in blocks if "mng-db/mngdb.yaml up" in block]
    assert len(shown) == 2
    proof = [block for block in blocks if "mngdb.yaml check" in block]
    assert len(proof) == 1
    for block in shown:
        command, _, output = block.partition("\n")
        assert command.endswith("mngdb -f examples/mng-db/mngdb.yaml up")
        done = cli.run("-f", "mngdb.yaml", "-f", "../../mngdb.yaml", "up")
        assert done.returncode == 0, done.stderr
        text = done.stdout + done.stderr
        text = text.replace("-f mngdb.yaml -f ../../mngdb.yaml", "-f examples/mng-db/mngdb.yaml")
        for usual, here in ports.items():
            text = re.sub(rf"(?<=[: ]){here}\b", usual, text)
        assert _plain(text) == _plain(output)
    command, _, output = proof[0].partition("\n")
    options = shlex.split(command)[4:]
    done = cli.run("-f", "mngdb.yaml", "-f", "../../mngdb.yaml", *options)
    assert done.returncode == 0, done.stderr
    assert _plain(done.stdout) == _plain(output)
    cli.ok("-f", "mngdb.yaml", "-f", "../../mngdb.yaml", "down")


def _sections(path: Path) -> list[str]:
    """The prose under each heading; the heading itself stays with what is above."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.split(r"^#+ ", text, flags=re.MULTILINE)


def _named(text: str) -> set[str]:
    """Commands, keys, values and pages: what stays as it is in any language."""
    links = re.findall(r"\]\(([^)]+)\)", text)
    return {
        *re.findall(r"`([^`]+)`", text),
        *(link.replace("README.ko.", "README.") for link in links),
    }


def test_the_korean_page_shows_the_same() -> None:
    for language in ("console", "yaml"):
        assert _blocks(KOREAN, language) == _blocks(README, language)


def test_the_korean_page_has_every_section_with_all_that_is_named_in_it() -> None:
    english, korean = _sections(README), _sections(KOREAN)
    assert len(korean) == len(english)
    for said, meant in zip(korean, english, strict=True):
        assert _named(said) == _named(meant), meant.partition("\n")[0]
    assert "](README.md)" in korean[-1]
    assert "](README.ko.md)" in english[-1]


def test_the_file_that_is_shown_is_the_example() -> None:
    import yaml

    example = yaml.safe_load((ROOT / "examples/mng-db/mngdb.yaml").read_text())
    shown = yaml.safe_load(_blocks(README, "yaml")[0])
    assert {key: example[key] for key in shown} == shown


@pytest.mark.parametrize("path", [README, KOREAN], ids=["en", "ko"])
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert (ROOT / target).exists(), target


def test_every_command_that_is_named_exists() -> None:
    for text in re.findall(r"`(mngdb [^`]*)`", README.read_text()):
        # what stands behind two dashes is another program's
        words = shlex.split(re.split(r"[>|;]| -- ", text)[0], comments=False)[1:]
        words = [word for word in words if not word.endswith(".yaml") and word != "-f"]
        name = words[0]
        assert name in COMMANDS, text
        command = group.get_command(click.Context(group), name)
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        if isinstance(command, click.Group) and words[1:]:
            context = click.Context(command)
            context.meta["app"] = False
            _, below, _ = command.resolve_command(context, words[1:])  # `env APP` is one, too
            assert below is not None, text
            known |= {option for parameter in below.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, text
