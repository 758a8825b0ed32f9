"""OPERATIONAL_CHECKLIST.md: the guide's boxes, each with the command that ticks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mngdb.checks import registry
from mngdb.findings import Check
from mngdb.ops.context import Context
from mngdb.ops.registry import engine
from mngdb.ops.runbooks.words import PLAYBOOK, Words


def render(context: Context, title: Callable[[Check[Any]], str], words: Words, program: str) -> str:
    """The page for this stack in one language, with the checks' titles in it; its commands begin
    with `program`."""

    def part(title: str, commands: Sequence[str]) -> list[str]:
        shown = [one.replace("mngdb", program, 1) for one in commands]
        return [f"## {title}", "", "```sh", *shown, "```", ""]

    engines = list(dict.fromkeys(i.engine for i in context.stack.instances.values()))
    lines = [f"# {words.checklist}: {context.stack.name}", "", words.made, ""]
    lines += [f"{words.see_also}: [{words.playbook}]({words.file(PLAYBOOK)})", ""]
    lines += part(words.daily, ["mngdb status", "mngdb alerts"])
    weekly = ["mngdb check", "mngdb slow", "mngdb connections"]
    there = [engine(name) for name in engines]
    if any(one.indexes for one in there):
        weekly.append("mngdb indexes")
    if any(one.bloat for one in there):
        weekly.append("mngdb bloat")
    lines += part(words.weekly, weekly)
    lines += part(words.deploying, ["mngdb plan", "mngdb up", "mngdb check"])
    lines += part(words.quarterly, ["mngdb check --only '*.backup-proved'"])
    lines += [f"## {words.boxes}", "", words.boxes_text, ""]
    for area in [*engines, *words.around]:
        lines += [f"### {words.around.get(area, area)}", ""]
        lines += [
            f"- [ ] {title(one)} — `{program} check --only {one.id}`"
            for one in registry.of(area)
            if one.severity in {"critical", "high"}
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
