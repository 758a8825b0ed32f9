"""locks and locks kill."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from mngdb.cli.common import Options, common, say, say_answers, tell_errors
from mngdb.cli.layout import shortened
from mngdb.cli.lazy import Elsewhere
from mngdb.words import many, plain, span

if TYPE_CHECKING:
    from mngdb.facts.locks import Node
    from mngdb.ops.context import Context

_WIDTH = 100


@click.group(cls=Elsewhere, invoke_without_command=True)
@click.option("--instance", help="Show only this instance.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Repeat at this interval, until Ctrl-C.",
)
@click.option("--no-text", is_flag=True, help="Show the kind of each statement, not its text.")
@common
@click.pass_context
def locks(
    ctx: click.Context, options: Options, instance: str | None, watch: float | None, no_text: bool
) -> int:
    """Show who blocks whom in PostgreSQL, as a tree, and how many sessions each blocks."""
    ctx.ensure_object(Options)
    if ctx.invoked_subcommand:
        return 0
    context = options.context()
    if watch is None:
        return _look(options, context, instance, no_text)
    try:
        while True:
            _look(options, context, instance, no_text)
            time.sleep(watch)
            if not options.json:
                say(click.style(f"— {time.strftime('%H:%M:%S')}", dim=True))
    except KeyboardInterrupt:
        return 130  # as it is meant to end


def _look(options: Options, context: Context, instance: str | None, no_text: bool) -> int:
    """One look, shown; the exit code."""
    from mngdb.ops.locks import locks as look
    from mngdb.ops.workers import apart

    found, errors = apart(look(context, instance))
    if no_text:
        found = {name: tuple(one.without_text() for one in every) for name, every in found.items()}
    if options.json:
        instances = [
            {"instance": name, "chains": [node.as_json() for node in nodes]}
            for name, nodes in found.items()
        ]
        return say_answers(context.stack.name, instances, errors)
    _show(found)
    return tell_errors(errors)


@locks.command("kill")
@click.argument("pid", type=int)
@click.option("--instance", help="Instance of the session; required if there are several.")
@click.option("--terminate", is_flag=True, help="Terminate the session, not only its statement.")
@click.option(
    "--force", is_flag=True, help="Also allow replication, backup and autovacuum processes."
)
@common
def kill(options: Options, pid: int, instance: str | None, terminate: bool, force: bool) -> None:
    """Cancel the statement of session PID, or terminate the session."""
    from mngdb.ops.locks import kill as end

    context = options.context()
    done = end(context, instance, pid, terminate, force)
    options.say({"stack": context.stack.name, "pid": pid, "done": done}, done)


def _show(found: Mapping[str, Sequence[Node]]) -> None:
    for name, nodes in found.items():
        if not nodes:
            say(f"{name}: no session waits for a lock")
        for node in nodes:
            say(f"{name}:")
            for line in _lines(node, "", ""):
                say(line)


def _lines(node: Node, first: str, rest: str) -> list[str]:
    one = node.backend
    pid = one.kind if one.by_hand else f"{one.pid}"
    who = click.style(pid, bold=True) + f" {plain(one.app or one.kind)}"
    where = f" in {plain(one.database)}" if one.database else ""
    if one.waiting is None:
        # an advisory lock outlives its transaction
        since = "connected" if one.state == "idle" else "transaction open"
        text = f"{who}{where}, {one.state or one.kind}, {since} for {span(one.age)}"
    else:
        text = f"{who}{where} waits {span(one.waiting)} for {plain(one.wants)}"
    if node.frees and not first:
        text += click.style(f"  ← ending it frees {many(node.frees, 'session')}", fg="yellow")
    lines = [first + text]
    if one.by_hand:
        lines.append(f"{rest}│  {plain(one.by_hand)}")
    elif one.query:
        query = click.style(shortened(one.query, _WIDTH), dim=True)
        lines.append(rest + ("│  " if node.blocked else "   ") + query)
    for number, child in enumerate(node.blocked):
        last = number == len(node.blocked) - 1
        lines += _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines
