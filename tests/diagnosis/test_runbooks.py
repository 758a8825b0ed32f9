"""The runbooks of a stack: every command in them runs, every alert's link leads to a chapter."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mngdb.alerts.catalogue import RULES
from mngdb.checks import registry
from mngdb.ops.runbooks.playbook import BY_SUBJECT
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

FILE = """
postgres: {port: PORT1}
redis: {port: PORT2}
mongodb: {port: PORT3}
apps: {shop: {postgres: shop, redis: "shop:*", mongodb: shop}}
"""
stack = brought_up(FILE)


@pytest.fixture(scope="module")
def pages(stack: Cli, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("runbooks")
    said = stack.ok("render", "runbooks", "--output", str(folder)).split()
    assert sorted(Path(one).name for one in said) == sorted(p.name for p in folder.iterdir())
    again = stack.run("render", "runbooks", "--output", str(folder))
    assert "nothing to change" in again.stderr
    return {path.name: path.read_text() for path in folder.iterdir()}


def blocks(text: str) -> list[str]:
    found = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines()]


def test_there_are_two_pages_in_two_languages_with_the_same_commands(pages: dict[str, str]) -> None:
    assert set(pages) == {
        *("RECOVERY_PLAYBOOK.md", "RECOVERY_PLAYBOOK.ko.md"),
        *("OPERATIONAL_CHECKLIST.md", "OPERATIONAL_CHECKLIST.ko.md"),
    }
    for name in ("RECOVERY_PLAYBOOK", "OPERATIONAL_CHECKLIST"):
        english, korean = pages[f"{name}.md"], pages[f"{name}.ko.md"]
        assert blocks(english) == blocks(korean)
        assert english.count("\n## ") == korean.count("\n## ")
        assert english.count("\n### ") == korean.count("\n### ")
        assert re.findall(r"^- .* — (`.*`)$", english, re.M) == re.findall(
            r"^- .*[가-힣].* — (`.*`)$", korean, re.M
        )


def test_each_page_leads_to_those_of_its_own_language(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        links = re.findall(r"\]\((.*?)\)", text)
        assert links
        assert set(links) <= set(pages) - {name}
        assert all(link.endswith(".ko.md") == name.endswith(".ko.md") for link in links)


def test_a_page_says_how_alerts_lead_to_it(stack: Cli, pages: dict[str, str]) -> None:
    assert "```yaml" not in pages["RECOVERY_PLAYBOOK.md"]
    (change,) = re.findall(
        r"^```yaml\n(.*?)^```", pages["RECOVERY_PLAYBOOK.ko.md"], re.MULTILINE | re.DOTALL
    )
    (stack.folder / "korean.yaml").write_text(change)
    both = ("-f", "mngdb.yaml", "-f", "korean.yaml")
    rules = stack.json(*both, "alerts", "rules")["rules"]
    assert {rule["runbook"].partition("#")[0] for rule in rules} == {"RECOVERY_PLAYBOOK.ko.md"}
    page = stack.ok(*both, "render", "runbooks", "--language", "ko")
    assert "```yaml" not in page
    assert rules[0]["runbook"] in page


def test_alerts_and_documents_lead_to_korean_pages(stack: Cli, tmp_path: Path) -> None:
    stack.ok("render", "runbooks", "--main", "ko", "--output", str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        *("RECOVERY_PLAYBOOK.md", "RECOVERY_PLAYBOOK.en.md"),
        *("OPERATIONAL_CHECKLIST.md", "OPERATIONAL_CHECKLIST.en.md"),
    }
    korean = (tmp_path / "RECOVERY_PLAYBOOK.md").read_text()
    assert "복구 플레이북" in korean
    assert "](OPERATIONAL_CHECKLIST.md)" in korean
    assert "```yaml" not in korean
    assert "](OPERATIONAL_CHECKLIST.en.md)" in (tmp_path / "RECOVERY_PLAYBOOK.en.md").read_text()


def test_every_command_of_both_pages_runs(stack: Cli, pages: dict[str, str]) -> None:
    commands = {line for text in pages.values() for line in blocks(text)}
    assert len(commands) > 20
    for command in sorted(commands):
        program, *words = shlex.split(command)
        assert program == "mngdb"
        done = stack.run(*words)
        # 1: a check failed (no backup yet), or an alert fires; 3: an alert needs more than a look
        assert done.returncode in {0, 1, 3}, (command, done.stdout, done.stderr)
        assert "error:" not in done.stderr, (command, done.stderr)


def test_the_commands_mean_the_stack_that_they_were_written_for(tmp_path: Path) -> None:
    """Several files, a target of the command line, a server of others: nothing is started here."""
    cli = Cli(tmp_path)
    cli.write("redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\nagent: {external: true}\n")
    url = "postgresql://admin@db.example:5432/postgres"
    more = f"instances: {{legacy: {{engine: postgres, target: {{external: {{url: '{url}'}}}}}}}}"
    (tmp_path / "more.yaml").write_text(more)
    both = ("-f", "mngdb.yaml", "-f", "more.yaml", "--target", "local")
    cli.ok(*both, "render", "runbooks", "--output", "pages", "--language", "en")
    book = (tmp_path / "pages/RECOVERY_PLAYBOOK.md").read_text()
    begin = "mngdb -f mngdb.yaml -f more.yaml --target local "
    ours = [line for line in blocks(book) if line.startswith("mngdb")]
    assert ours
    assert all(line.startswith(begin) for line in ours)
    assert f"{begin}logs redis" in blocks(book)
    assert f"{begin}sessions legacy" in blocks(book)
    assert not [line for line in blocks(book) if "logs legacy" in line]
    boxes = (tmp_path / "pages/OPERATIONAL_CHECKLIST.md").read_text()
    assert f"`{begin}check --only redis.acl-dangerous`" in boxes


def test_every_box_names_a_check(pages: dict[str, str]) -> None:
    known = {one.id for one in (*registry.every(), *registry.of("host"), *registry.of("secrets"))}
    boxes = re.findall(r"`mngdb check --only ([\w.-]+)`", pages["OPERATIONAL_CHECKLIST.md"])
    assert len(boxes) > 50
    assert set(boxes) <= known


def test_every_alerts_link_leads_to_its_chapter(stack: Cli, pages: dict[str, str]) -> None:
    for name in ("RECOVERY_PLAYBOOK.md", "RECOVERY_PLAYBOOK.ko.md"):
        heads = re.findall(r"^### (\w+)$", pages[name], re.M)
        anchors = {head.lower() for head in heads}
        for rule in stack.json("alerts", "rules")["rules"]:
            assert rule["name"].lower() in anchors


def test_every_rule_has_its_commands() -> None:
    assert {rule.subject for rule in RULES} == set(BY_SUBJECT)


def test_the_stack_is_named_and_no_secret_is(stack: Cli, pages: dict[str, str]) -> None:
    playbook = pages["RECOVERY_PLAYBOOK.md"]
    for word in ("mng-pg", "mng-redis", "mng-mongo", f"127.0.0.1:{stack.port(1)}", "`shop`"):
        assert word in playbook
    for path in (stack.state / "secrets").glob("*_*"):
        assert path.read_text() not in "".join(pages.values())


def test_a_playbook_says_how_to_restore_and_which_secrets_are_never_removed(
    pages: dict[str, str],
) -> None:
    for name in ("RECOVERY_PLAYBOOK.md", "RECOVERY_PLAYBOOK.ko.md"):
        for word in ("mngdb restore", "--replace", "mngdb backup kit --open", "backup_mac"):
            assert word in pages[name], (name, word)
