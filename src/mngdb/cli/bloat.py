"""bloat: wasted space."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common, say, say_answers, size, tell_errors
from mngdb.cli.layout import headed
from mngdb.words import plain


@click.command()
@click.argument("instance", required=False)
@common
def bloat(options: Options, instance: str | None) -> int:
    """Show tables, indexes and collections with wasted space, the cause, and what to run.

    Changes nothing. In PostgreSQL, wasted space is estimated from statistics.
    """
    from mngdb.ops.bloat import bloat as look
    from mngdb.ops.workers import apart

    context = options.context()
    found, errors = apart(look(context, instance))
    notes = {name: server.note for name, server in found.items() if server.note}
    if options.json:
        shown = [
            {"instance": name, "objects": [one.as_json() for one in server.objects]}
            for name, server in found.items()
        ]
        return say_answers(context.stack.name, shown, errors, notes=notes)
    pairs = [(name, one) for name, server in found.items() for one in server.objects]
    if pairs:
        head = ("INSTANCE", "DATABASE", "NAME", "SIZE", "WASTED", "DEAD ROWS")
        rows = [
            (name, one.database, one.name, size(one.size), size(one.wasted), f"{one.dead:,}")
            for name, one in pairs
        ]
        first, lines = headed(head, rows)
        for line in first:
            say(line)
        for line, (_, one) in zip(lines, pairs, strict=True):
            say(line)
            why = f"{one.reason}: " if one.reason else ""
            say(click.style(f"    {plain(why + one.statement)}", dim=True))
    elif found:
        say("no bloat found")
    return tell_errors(errors, notes)
