"""indexes: unused, duplicate, invalid, missing."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common, say, say_answers, seconds, size, tell_errors, verbatim
from mngdb.words import plain

_COLOURS = {"missing": "yellow", "invalid": "red", "duplicate": "cyan", "unused": "cyan"}


@click.command()
@click.argument("instance", required=False)
@click.option(
    "--unused-for",
    metavar="DURATION",
    callback=seconds,
    help="Call an index unused after so long without a use (default: 7d).",
)
@common
def indexes(options: Options, instance: str | None, unused_for: float | None) -> int:
    """Show indexes that are missing, invalid, duplicate or unused, with the statement to run.

    Changes nothing. PostgreSQL does not tell the age of an index: it counts from the first run of
    this command that saw it.
    """
    from mngdb.ops.indexes import UNUSED
    from mngdb.ops.indexes import indexes as look
    from mngdb.ops.workers import apart

    context = options.context()
    found, errors = apart(look(context, instance, UNUSED if unused_for is None else unused_for))
    notes = {name: advice.note for name, advice in found.items() if advice.note}
    if options.json:
        shown = [
            {"instance": name, "indexes": [one.as_json() for one in advice.indexes]}
            for name, advice in found.items()
        ]
        return say_answers(context.stack.name, shown, errors, notes=notes)
    for name, advice in found.items():
        if not advice.indexes:
            say(f"{name}: every index is used" + ("" if advice.note else ", none is missing"))
        for one in advice.indexes:
            kind = click.style(one.kind, fg=_COLOURS[one.kind])
            where = f"{one.database} {one.table} ({one.index}), {size(one.size)}"
            say(f"{name}: {kind} {plain(f'{where}: {one.reason}')}")
            verbatim(f"    {plain(one.statement)}")
            say(click.style(f"    cost: {plain(one.cost)}", dim=True))
    return tell_errors(errors, notes)
