"""render runbooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mngdb.cli.common import DEFAULT_FILE, Options, common
from mngdb.cli.render_alerts import give, output_option

if TYPE_CHECKING:
    from mngdb.spec.stack import Stack


@click.command()
@output_option
@click.option(
    "--language",
    "languages",
    type=click.Choice(("en", "ko")),
    multiple=True,
    help="Default: both.",
)
@common
def runbooks(options: Options, output: Path | None, languages: Sequence[str]) -> None:
    """Write RECOVERY_PLAYBOOK.md and OPERATIONAL_CHECKLIST.md for this stack."""
    from mngdb.ops.runbooks.files import runbooks as make

    context = options.context()
    made = make(context, languages or ("en", "ko"), _program(context.stack, options.target))
    give(options, made, output)


def _program(stack: Stack, target: str | None) -> str:
    """How the commands begin: with what it takes to mean this stack and no other."""
    import os
    import shlex

    words = ["mngdb"]
    paths = [os.path.relpath(path.resolve(), stack.folder) for path in stack.files]
    if paths != [DEFAULT_FILE]:
        words += [word for path in paths for word in ("-f", path)]
    if target is not None:
        words += ["--target", target]
    return shlex.join(words)
