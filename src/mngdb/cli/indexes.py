"""indexes: unused, duplicate, invalid, missing."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common, say, say_json, size, tell
from mngdb.words import plain

_COLOURS = {"missing": "yellow", "invalid": "red", "duplicate": "cyan", "unused": "cyan"}


@click.command()
@click.argument("instance", required=False)
@common
def indexes(options: Options, instance: str | None) -> int:
    """Show indexes that are missing, invalid, duplicate or unused, with the statement to run.

    Changes nothing.
    """
    from mngdb.ops.indexes import indexes as look
    from mngdb.ops.workers import apart

    context = options.context()
    found, errors = apart(look(context, instance))
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "instances": [
                    {"instance": name, "indexes": [one.as_json() for one in advice.indexes]}
                    for name, advice in found.items()
                ],
                "notes": {name: advice.note for name, advice in found.items() if advice.note},
                "errors": {name: error.message for name, error in errors.items()},
            }
        )
        return 3 if errors else 0
    for name, advice in found.items():
        if not advice.indexes:
            say(f"{name}: every index is used" + ("" if advice.note else ", none is missing"))
        for one in advice.indexes:
            kind = click.style(one.kind, fg=_COLOURS[one.kind])
            where = f"{one.database} {one.table} ({one.index}), {size(one.size)}"
            say(f"{name}: {kind} {plain(f'{where}: {one.reason}')}")
            say(f"    {plain(one.statement)}")
            say(click.style(f"    cost: {plain(one.cost)}", dim=True))
    for name, advice in found.items():
        if advice.note:
            tell(f"{name}: {advice.note}")
    for name, error in errors.items():
        tell(f"{name}: {error.message}")
    return 3 if errors else 0
