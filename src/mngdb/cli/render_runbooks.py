"""render runbooks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from mngdb.cli.common import Options, common, program
from mngdb.cli.render_alerts import give, output_option


@click.command()
@output_option
@click.option(
    "--language",
    "languages",
    type=click.Choice(("en", "ko")),
    multiple=True,
    help="Language; repeatable. Default: both.",
)
@click.option(
    "--main",
    type=click.Choice(("en", "ko")),
    default="en",
    help="Language of the pages that have no language in their names, to which alerts and other "
    "documents link. Default: en.",
)
@common
def runbooks(options: Options, output: Path | None, languages: Sequence[str], main: str) -> None:
    """Write RECOVERY_PLAYBOOK.md and OPERATIONAL_CHECKLIST.md for this stack."""
    from mngdb.ops.runbooks.files import runbooks as make

    context = options.context()
    # in the folder of the file they are pasted
    paths = [os.path.relpath(path.resolve(), context.stack.folder) for path in context.stack.files]
    made = make(context, languages or ("en", "ko"), program(paths, options.target), main)
    give(options, made, output)
