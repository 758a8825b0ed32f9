"""RECOVERY_PLAYBOOK.md: what to do when something is wrong, in order; a chapter for each alert."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mngdb.alerts.rules import Active
from mngdb.ops.context import Context
from mngdb.ops.runbooks.chapters import BY_SUBJECT, COMMANDS, KOREAN
from mngdb.ops.runbooks.words import Words


def render(context: Context, rules: Sequence[Active], words: Words) -> str:
    """The page for this stack in one language."""
    stack = context.stack
    lines = [f"# {words.playbook}: {stack.name}", "", words.made, "", f"## {words.what_runs}", ""]
    lines += [f"| {words.unit} | {words.engine} | {words.address} | {words.data} |"]
    lines += ["|---|---|---|---|"]
    for one in stack.instances.values():
        lines.append(
            f"| {one.unit} | {one.engine} {one.spec.version or ''} | {_where(context, one.name)} |"
        )
    apps = ", ".join(f"`{app}`" for app in stack.apps) or "–"
    lines += ["", f"{words.apps}: {apps}", "", f"## {words.first_look}", ""]
    lines += _commands(
        ["mngdb doctor", "mngdb status", "mngdb alerts", "mngdb check --severity critical"]
    )
    lines += [words.each_app, ""]
    lines += _commands([f"mngdb doctor {app}" for app in stack.apps])
    lines += [f"## {words.starting}", "", words.starting_text, ""]
    lines += _commands(["mngdb plan", "mngdb up", "mngdb status"])
    lines += [f"## {words.secret_lost}", "", words.secret_lost_text, ""]
    lines += _commands(["mngdb up", *(f"mngdb doctor {app}" for app in stack.apps)])
    lines += [f"## {words.restoring}", "", words.restoring_text, ""]
    lines += _commands(["mngdb check --only '*.backup-proved'"])
    lines += [f"## {words.alerts}", ""]
    for rule in rules:
        lines += _chapter(context, rule, words)
    return "\n".join(lines).rstrip() + "\n"


def _where(context: Context, name: str) -> str:
    instance = context.stack.instances[name]
    if instance.target.external:
        return f"{instance.target.external.url} | –"
    asked = context.asked(instance, find=False, invent=True)
    access = context.admin(asked)
    data = asked.site.data if asked.site else "–"
    return f"{access.host}:{access.port} | `{data}`"


def _chapter(context: Context, rule: Active, words: Words) -> list[str]:
    subject = rule.rule.subject
    korean = KOREAN[rule.name] if words.korean else ""
    summary = re.sub(r"\{(\w+)\}", r"`\1`", rule.rule.summary)
    advice = re.sub(r"\{(\w+)\}", lambda match: match[1].upper(), rule.rule.description)
    text = korean or f"{summary[0].upper()}{summary[1:]}. {advice}"
    names = [i.name for i in context.stack.instances.values() if i.engine == subject] or [""]
    commands = COMMANDS.get(rule.name, BY_SUBJECT[subject])
    asked = [c.format(i=name) for name in names for c in commands]
    # a subject without instances asks all of them
    asked = [c.replace("--instance ", "") if names == [""] else c for c in asked]
    head = [f"### {rule.name}", "", f"**{words.severity[rule.severity]}** · {text}", ""]
    return [*head, *_commands(list(dict.fromkeys(c.strip() for c in asked)))]


def _commands(commands: Sequence[str]) -> list[str]:
    return ["```sh", *commands, "```", ""] if commands else []
