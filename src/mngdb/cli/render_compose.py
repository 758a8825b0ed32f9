"""render compose."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mngdb.cli.common import Options, common, say, say_json, tell


@click.command()
@click.option("--output", metavar="DIR", help="New or empty folder. Default: the target's folder.")
@common
def compose(options: Options, output: str | None) -> None:
    """Write a folder that `docker compose up -d` starts without mngdb. Contains secrets."""
    from mngdb.ops.render_compose import render

    options.target = options.target or "compose"
    folder = render(options.context(), None if output is None else Path(output))
    if options.json:
        say_json({"folder": str(folder)})
    else:
        say(f"wrote {folder}")
        tell(f"next: cd {shlex.quote(str(folder))} && docker compose up -d")
