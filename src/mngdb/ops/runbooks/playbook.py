"""RECOVERY_PLAYBOOK.md: what to do when something is wrong, in order; a chapter for each alert."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from mngdb.alerts.rules import Active
from mngdb.ops.context import Context
from mngdb.ops.runbooks.words import CHECKLIST, PLAYBOOK, Words
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance

#: What to run for an alert without commands of its own, by its subject.
BY_SUBJECT: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(ENGINE_INFO, ("mngdb doctor", "mngdb status", "mngdb logs {i}")),
    "host": ("mngdb status", "mngdb check --only 'host.*'"),
    "backup": ("mngdb check --only '*.backup-proved'",),
    "secrets": ("mngdb check --only 'secrets.*'",),
    "mngdb": ("mngdb status",),
}


def render(context: Context, rules: Sequence[Active], words: Words, program: str) -> str:
    """The page for this stack in one language; its commands begin with `program`."""

    def block(commands: Sequence[str]) -> list[str]:
        shown = [one.replace("mngdb", program, 1) for one in commands]
        return ["```sh", *shown, "```", ""] if shown else []

    stack = context.stack
    lines = [f"# {words.playbook}: {stack.name}", "", words.made, ""]
    lines += [f"{words.see_also}: [{words.checklist}]({words.file(CHECKLIST)})", ""]
    lines += [f"## {words.what_runs}", ""]
    lines += [f"| {words.unit} | {words.engine} | {words.address} | {words.data} |"]
    lines += ["|---|---|---|---|"]
    for one in stack.instances.values():
        lines.append(
            f"| {one.unit} | {' '.join(filter(None, (one.engine, one.spec.version)))} "
            f"| {_where(context, one.name, words)} |"
        )
    apps = ", ".join(f"`{app}`" for app in stack.apps) or "–"
    lines += ["", f"{words.apps}: {apps}", "", f"## {words.first_look}", ""]
    lines += block(
        ["mngdb doctor", "mngdb status", "mngdb alerts", "mngdb check --severity critical"]
    )
    lines += [words.each_app, ""]
    lines += block([f"mngdb doctor {app}" for app in stack.apps])
    lines += [f"## {words.starting}", "", words.starting_text, ""]
    lines += block(["mngdb plan", "mngdb up", "mngdb status"])
    lines += [f"## {words.secret_lost}", "", words.secret_lost_text, ""]
    lines += block(["mngdb up", *(f"mngdb doctor {app}" for app in stack.apps)])
    lines += [f"## {words.restoring}", "", words.restoring_text, ""]
    lines += block(["mngdb backups", "mngdb check --only '*.backup-proved'"])
    lines += [f"## {words.alerts}", "", *_link(rules, words)]
    for rule in rules:
        head, commands = _chapter(context, rule, words)
        lines += [*head, *block(commands)]
    return "\n".join(lines).rstrip() + "\n"


def _where(context: Context, name: str, words: Words) -> str:
    instance = context.stack.instances[name]
    asked = context.asked(instance, find=False, invent=True)
    address, place = context.target(instance).where(instance, asked)
    data = f"`{place}`" if place else "–"
    if instance.contained:
        data = f"{words.volume} {data}"
    return f"{address} | {data}"


def _link(rules: Sequence[Active], words: Words) -> list[str]:
    """Where the alerts' links lead: to this page, or to that of another language."""
    if not rules:
        return []
    link = rules[0].runbook
    page, _, _ = link.partition("#")
    folder, slash, name = page.rpartition("/")
    own = words.file(PLAYBOOK)
    if name == own or not name.startswith(PLAYBOOK):
        return [words.linked.format(link=link), ""]
    change = f"alerts: {{runbook: {json.dumps(folder + slash + own)}}}"
    return [words.linked_elsewhere.format(link=link), "", "```yaml", change, "```", ""]


def _chapter(context: Context, rule: Active, words: Words) -> tuple[list[str], list[str]]:
    """The lines of an alert's chapter before its commands, and these."""
    subject = rule.rule.subject
    summary = re.sub(r"\{(\w+)\}", r"`\1`", rule.rule.summary)
    advice = re.sub(r"\{(\w+)\}", lambda match: match[1].upper(), rule.rule.description)
    text = f"{summary[0].upper()}{summary[1:]}. {advice}"
    instances = [i for i in context.stack.instances.values() if i.engine == subject]
    commands = rule.rule.commands or BY_SUBJECT[subject]
    if instances:
        asked = [c.format(i=i.name) for i in instances for c in commands if not _elsewhere(i, c)]
    else:
        # a subject without instances asks all of them
        asked = [c.replace("--instance ", "").format(i="").strip() for c in commands]
    head = [f"### {rule.name}", "", f"**{words.severity[rule.severity]}** · {text}", ""]
    return head, list(dict.fromkeys(asked))


def _elsewhere(instance: Instance, command: str) -> bool:
    """Whether a command is for servers of ours: the log of another's is not at hand."""
    return not instance.managed and command.startswith("mngdb logs")
