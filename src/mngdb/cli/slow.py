"""slow: the slowest statements."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common, in_full, say, say_json, seconds, tell
from mngdb.cli.layout import headed, shortened
from mngdb.words import plain

_WIDTH = 70


@click.command()
@click.argument("instance", required=False)
@click.option(
    "--most",
    default=20,
    type=click.IntRange(1, 500),
    help="Number of statements to show. Default: 20.",
)
@click.option(
    "--since",
    callback=seconds,
    metavar="DURATION",
    help="Only the last 10m, 2h, …; for PostgreSQL, from totals that the agent records.",
)
@common
def slow(options: Options, instance: str | None, most: int, since: float | None) -> int:
    """Rank statements by total time, with the reason where the query plan shows it."""
    from mngdb.ops.slow import slow as look

    context = options.context()
    found = look(context, instance, most, since)
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "statements": [
                    {"instance": name, **one.as_json()} for name, one in found.statements
                ],
                "notes": found.notes,
                "errors": {name: error.message for name, error in found.errors.items()},
            }
        )
    else:
        rows = []
        for name, one in found.statements:
            times = (_ms(one.total_ms), _ms(one.mean_ms), f"{one.calls:,}")
            rows.append((name, one.app or "-", *times, shortened(one.text, _WIDTH)))
        if rows:
            head = ("INSTANCE", "APP", "TOTAL", "MEAN", "CALLS", "WHAT")
            first, lines = headed(head, rows)
            for line in first:
                say(line)
            for line, (_, one) in zip(lines, found.statements, strict=True):
                say(line)
                for why in one.why:
                    say(click.style(in_full(f"    {plain(why)}"), fg="yellow"))
        elif not found.errors:
            say("no slow statements found")
        for name, note in found.notes.items():
            tell(f"{name}: {note}")
        for name, error in found.errors.items():
            tell(f"{name}: {error.message}" + (f"; {error.hint}" if error.hint else ""))
    return 3 if found.errors else 0


def _ms(value: float) -> str:
    return f"{value / 1000:,.1f} s" if value >= 1000 else f"{value:.1f} ms"
