"""memory: what uses it, and what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mngdb.cli.common import Options, common, in_full, say, say_answers, size, tell_errors
from mngdb.cli.layout import table

if TYPE_CHECKING:
    from mngdb.facts.memory import Memory

_BAR = 20


@click.command()
@click.argument("instance", required=False)
@common
def memory(options: Options, instance: str | None) -> int:
    """Show what uses the memory of each server, or of INSTANCE, who holds it, what to change.

    Changes nothing. What cannot be seen is named: single processes of a container, everything
    around an external server.
    """
    from mngdb.ops.memory import memory as look
    from mngdb.ops.workers import apart

    context = options.context()
    found, errors = apart(look(context, instance))
    if options.json:
        shown = [{"instance": name, **one.as_json()} for name, one in found.items()]
        return say_answers(context.stack.name, shown, errors)
    for number, (name, one) in enumerate(found.items()):
        if number:
            say()
        _show(name, one)
    return tell_errors(errors)


def _show(name: str, one: Memory) -> None:
    limit = f", {one.limited_by} {size(one.limit)}" if one.limit else ""
    say(click.style(f"{name}: {size(one.total)}{limit}", bold=True))
    rows = [(_signed(part.size), *_share(part.size, one.total), part.name) for part in one.parts]
    for line in table(("SIZE", "SHARE", "", "WHERE"), rows, indent="  "):
        say(line)
    if one.contents:
        rows = [
            ("-" if c.size is None else size(c.size), *_share(c.share, 1.0), f"{c.name}  {c.note}")
            for c in one.contents
        ]
        for line in table(("SIZE", "SHARE", "", "IN THE CACHE"), rows, indent="  "):
            say(line)
    if one.holders:
        held = [
            ("-" if h.size is None else size(h.size), h.app or "-", h.what) for h in one.holders
        ]
        for line in table(("HOLDS", "APP", "WHAT"), held, indent="  "):
            say(line)
    if not one.advice:
        say("  nothing to change")
    for advice in one.advice:
        say(click.style(f"  {advice.text}", fg="yellow"))
        if advice.change:
            say(in_full(f"    {advice.change}"))
    for text in one.unseen:
        say(click.style(f"  not seen: {text}", dim=True))


def _signed(count: int) -> str:
    return size(count) if count >= 0 else f"-{size(-count)}"


def _share(part: float, whole: float) -> tuple[str, str]:
    share = max(0.0, part / whole) if whole else 0.0
    return f"{share:.0%}", "█" * round(share * _BAR)
