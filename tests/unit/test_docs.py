"""The generated pages are as the code says, and say something of every key."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from mngdb.alerts.catalogue import RULES
from mngdb.checks import registry, scan
from mngdb.cli.commands import COMMANDS
from mngdb.spec.app import AppEnv
from mngdb.spec.engine_models import MODELS
from mngdb.spec.file import StackFile
from mngdb.spec.load import members
from mngdb.spec.schema import descriptions
from tests.unit.spec import stack

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs"


def models() -> list[type[BaseModel]]:
    """Every model of the file."""
    found: list[type[BaseModel]] = []
    grants = [grant for _, grant in MODELS.values()]
    waiting: list[type[BaseModel]] = [StackFile, AppEnv, *grants]
    while waiting:
        model = waiting.pop()
        if model not in found:
            found.append(model)
            for info in model.model_fields.values():
                waiting += members(info.annotation)
    return found


def keys(model: type[BaseModel]) -> list[str]:
    """A model's keys as they stand in the file."""
    return [info.alias or key for key, info in model.model_fields.items()]


def slug(head: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^a-z0-9_-]", "", head.lower().replace(" ", "-"))


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate-docs", *arguments],
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_pages_are_fresh() -> None:
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_noticed_and_mended(tmp_path: Path) -> None:
    for name in ("file.md", "commands.md", "alerts.md"):
        (tmp_path / name).write_text((PAGES / name).read_text())
    (tmp_path / "file.md").write_text("old")
    done = generate("--check", "--folder", str(tmp_path))
    assert (done.returncode, (tmp_path / "file.md").read_text()) == (1, "old")
    assert "file.md" in done.stderr
    assert "commands.md" not in done.stderr
    assert generate("--folder", str(tmp_path)).returncode == 0
    assert (tmp_path / "file.md").read_text() == (PAGES / "file.md").read_text()


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_key_has_a_description(model: type[BaseModel]) -> None:
    said = descriptions(model)
    assert [key for key in keys(model) if len(said.get(key, "")) < 5] == []
    assert model.__doc__


def test_every_key_stands_on_the_page() -> None:
    page = (PAGES / "file.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    assert sorted(key for key, *_ in rows) == sorted(
        key for model in models() for key in keys(model)
    )
    assert all(cell for row in rows for cell in row)


def test_every_example_of_the_page_loads() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", (PAGES / "file.md").read_text(), re.DOTALL)
    assert len(examples) > len(models())
    for text in examples:
        assert stack(text).instances


def test_every_command_stands_on_the_page() -> None:
    page = (PAGES / "commands.md").read_text()
    for name in COMMANDS:
        assert f"\n## mngdb {name}\n" in page
    for option in ("--with", "--exit-code", "--allow", "--prune", "--follow", "--yes"):
        assert f"`{option}" in page or f", {option}" in page


def test_every_rule_stands_on_the_page_under_the_anchor_that_alerts_link_to() -> None:
    page = (PAGES / "alerts.md").read_text()
    heads = [head.lower() for head in re.findall(r"^### (\w+)$", page, re.MULTILINE)]
    assert heads == [rule.anchor for rule in RULES]


def test_every_link_of_a_page_has_its_heading() -> None:
    for name in ("file.md", "commands.md"):
        page = (PAGES / name).read_text()
        heads = set(map(slug, re.findall(r"^#+ (.*)$", page, re.MULTILINE)))
        links = re.findall(r"\]\(#([^)]*)\)", page)
        assert links
        assert set(links) <= heads


def test_every_source_of_a_check_leads_to_a_control_and_no_control_is_orphaned() -> None:
    page = (PAGES / "controls.md").read_text()
    entries = re.findall(r"^### (.*?)\n\n(.*?)(?=\n\n#|\Z)", page, re.MULTILINE | re.DOTALL)
    said = dict(entries)
    assert len(said) == len(entries) == page.count("\n### ")
    assert {f"A{n}" for n in range(1, 13)} | {f"B{n}" for n in range(1, 24)} <= said.keys()
    checks = [*registry.every(), *registry.of("env"), *scan.RULES.values()]
    linked = set()
    for row in re.findall(r"^\| `\S+` \|.*\| (.*) \|$", (PAGES / "checks.md").read_text(), re.M):
        sources = row.split("; ")
        links = [re.match(r"\[(.*?)\]\(controls\.md#(.*?)\)", one) for one in sources]
        assert all(links), row
        assert [one[2] for one in links if one] == [slug(one[1]) for one in links if one]
        linked |= {one[1] for one in links if one}
    assert len(re.findall(r"^\| `", (PAGES / "checks.md").read_text(), re.M)) == len(checks)
    assert linked <= said.keys()
    assert said.keys() - linked == {head for head, text in said.items() if "*No check*" in text}


def test_a_source_without_a_control_stops_the_docs(tmp_path: Path) -> None:
    tree = tmp_path / "project"
    shutil.copytree(ROOT / "scripts", tree / "scripts")
    (tree / "docs").mkdir()
    page = (PAGES / "controls.md").read_text()
    (tree / "docs" / "controls.md").write_text(page.replace("### B13\n", "### B130\n"))
    done = subprocess.run(
        [sys.executable, tree / "scripts" / "generate-docs"],
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert "'B13'" in done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *PAGES.rglob("*.md"), *ROOT.glob("[A-Z]*.md")):
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, fragment = link.partition("#")
            if "://" in path:
                continue
            to = page.parent / path if path else page
            assert to.exists(), f"{page.name}: {link}"
            if fragment and to.suffix == ".md":
                heads = re.findall(r"^#+ (.*)$", to.read_text(), re.MULTILINE)
                assert fragment in map(slug, heads), f"{page.name}: {link}"


def test_paths_that_guides_name_exist() -> None:
    decisions = (PAGES / "decisions").glob("*.md")
    guides = [PAGES / "architecture.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    for page in (*guides, *decisions):
        named = re.findall(r"`([\w./-]+(?:\.(?:py|yaml|md|toml)|/))`", page.read_text())
        assert named or page not in guides[:2]
        paths = {one for one in named if "ENGINE" not in one and one != "mngdb.yaml"}
        places = (ROOT, ROOT / "src/mngdb", ROOT / "src/mngdb/engines/redis")
        lost = {one for one in paths if not any((place / one).exists() for place in places)}
        assert lost == set(), page.name


def test_each_question_of_the_architecture_is_answered_by_files_of_the_source() -> None:
    page = (PAGES / "architecture.md").read_text()
    rows = re.findall(r"^\| (.*\?) \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) >= 12
    for question, answer in rows:
        assert re.search(r"\]\(\.\./src/mngdb/\S+\.py\)", answer), question


def test_the_tutorial_names_commands_that_exist() -> None:
    page = (PAGES / "tutorial.md").read_text()
    named = re.findall(r"^\$ mngdb (\S+)", page, re.MULTILINE)
    assert {"init", "plan", "up", "env", "doctor", "down", "destroy"} <= set(named) <= set(COMMANDS)
    assert not re.search(r"(PASSWORD=|://shop:)'?[A-Za-z0-9]", page)  # secrets are masked
