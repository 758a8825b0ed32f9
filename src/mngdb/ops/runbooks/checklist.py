"""OPERATIONAL_CHECKLIST.md: the guide's boxes, each with the command that ticks it."""

from __future__ import annotations

from collections.abc import Sequence

from mngdb.checks import registry
from mngdb.ops.context import Context
from mngdb.ops.runbooks.words import Words


def render(context: Context, words: Words, program: str) -> str:
    """The page for this stack in one language; its commands begin with `program`."""

    def part(title: str, commands: Sequence[str]) -> list[str]:
        shown = [one.replace("mngdb", program, 1) for one in commands]
        return [f"## {title}", "", "```sh", *shown, "```", ""]

    engines = list(dict.fromkeys(i.engine for i in context.stack.instances.values()))
    lines = [f"# {words.checklist}: {context.stack.name}", "", words.made, ""]
    lines += part(words.daily, ["mngdb status", "mngdb alerts"])
    weekly = ["mngdb check", "mngdb slow", "mngdb connections"]
    if {"postgres", "mongodb"} & set(engines):
        weekly += ["mngdb indexes", "mngdb bloat"]
    lines += part(words.weekly, weekly)
    lines += part(words.deploying, ["mngdb plan", "mngdb up", "mngdb check"])
    lines += part(words.quarterly, ["mngdb check --only '*.backup-proved'"])
    lines += [f"## {words.boxes}", "", words.boxes_text, ""]
    for engine in [*engines, "stack", "secrets", "host"]:
        lines += [f"### {engine}", ""]
        lines += [
            f"- [ ] {one.title} — `{program} check --only {one.id}`"
            for one in registry.of(engine)
            if one.severity in {"critical", "high"}
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
