"""stacks and stacks attach."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from mngdb.cli.common import Options, common, in_full, say, say_json, size, tell
from mngdb.cli.layout import table
from mngdb.cli.lazy import Elsewhere

if TYPE_CHECKING:
    from mngdb.ops.stacks import StackRow


@click.group(cls=Elsewhere, invoke_without_command=True)
@common
@click.pass_context
def stacks(ctx: click.Context, options: Options) -> None:
    """List the stacks of this account (for root: of the machine) with project, units and size."""
    from mngdb.ops.stacks import stacks as look

    if ctx.invoked_subcommand:
        return
    found = look(os.environ)
    if options.json:
        say_json({"stacks": [one.as_json() for one in found]})
        return
    if not found:
        say("no stacks")
        return
    rows = [
        (
            one.id,
            one.name,
            ", ".join(one.units) or "-",
            size(one.bytes),
            _project(one),
        )
        for one in found
    ]
    for line in table(("ID", "NAME", "UNITS", "SIZE", "PROJECT"), rows):
        say(line)
    if any(not one.project for one in found):
        tell(
            "run 'mngdb stacks attach ID' in the folder of the stack's file to recreate stack.json"
        )


def _project(row: StackRow) -> str:
    if not row.project:
        return "unknown: its stack.json is damaged or missing"
    return row.project if row.there else f"{row.project} (missing)"


@stacks.command()
@click.argument("stack")
@common
def attach(options: Options, stack: str) -> None:
    """Attach STACK, an id or a name that 'stacks' lists, to the folder of the file: after a move,
    or to continue in a copy. Its servers, data and secrets are not changed."""
    from mngdb.ops.stacks import attach as make

    context = options.context(anywhere=True)
    found = make(context.stack, context.located, stack, os.environ)
    text = in_full(f"{found.name} now belongs to {found.project}; next: mngdb up")
    options.say({"stack": found.name, "project": found.project}, text)
