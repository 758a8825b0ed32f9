"""render runbooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mngdb.cli.common import Options, common
from mngdb.cli.render_alerts import give, output_option


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

    give(options, make(options.context(), languages or ("en", "ko")), output)
