"""enable, disable."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common, repeatable, say, say_json, tell


@click.command()
@common
@repeatable
def enable(options: Options) -> None:
    """Start the stack at boot, with a systemd unit: a system unit for root, otherwise a user unit
    with lingering. Can be run again at any time."""
    from mngdb.ops.boot import enable as install
    from mngdb.ops.service import name, variables

    context = options.context()
    done = install(context)
    _say(options, name(context), done, "is already enabled")
    missing = variables(context)
    if missing and done:
        tell(f"note: the file uses {', '.join(missing)} from the environment; the second line of")
        tell("      the unit names the file that they are read from")


@click.command()
@common
@repeatable
def disable(options: Options) -> None:
    """Undo 'enable'. Running servers keep running."""
    from mngdb.ops.boot import disable as remove
    from mngdb.ops.service import name

    context = options.context()
    _say(options, name(context), remove(context), "is not enabled")


def _say(options: Options, unit: str, done: list[str], nothing: str) -> None:
    if options.json:
        say_json({"unit": unit, "done": done})
        return
    for line in done or [f"{unit} {nothing}"]:
        say(line)
