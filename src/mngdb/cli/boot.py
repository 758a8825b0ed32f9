"""enable, disable."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common, say, say_json, tell


@click.command()
@common
def enable(options: Options) -> None:
    """Start the stack when the machine boots: a unit of systemd, for root one of the system, else
    one of the user's, with lingering. Can be run again at any time."""
    from mngdb.ops.boot import enable as install
    from mngdb.ops.service import name, variables

    context = options.context()
    done = install(context)
    _say(options, name(context), done, "is enabled already")
    missing = variables(context)
    if missing and done:
        tell(f"note: the file takes {', '.join(missing)} from the environment; the unit's second")
        tell("      line says which file it reads them from")


@click.command()
@common
def disable(options: Options) -> None:
    """Take back what 'enable' did. What runs goes on running."""
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
