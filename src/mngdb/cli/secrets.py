"""secrets: scan the project's files for secrets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mngdb.cli.common import Options, common, say, say_json


@click.group()
@common
def secrets(_: Options) -> None:
    """Find secrets where they should not be."""


@secrets.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--all", "everything", is_flag=True, help="Also show rules that pass.")
@common
def scan(options: Options, paths: Sequence[Path], everything: bool) -> int:
    """Scan PATHs (default: the folder of mngdb.yaml) for secrets. No secret is shown.

    Finds the stack's own secrets, connection strings with passwords, passwords in arguments or
    literals, plain values in GitHub and GitLab CI files, and what detect-secrets finds. Skips files
    that git ignores, and lines with 'pragma: allowlist secret'.

    Exits 0 if nothing was found, 1 if something was, 3 if a CI file could not be read.
    """
    from mngdb.cli.check import show_table, summary
    from mngdb.ops.scan import scan as search

    report = search(options.context(anywhere=True), paths)
    if options.json:
        say_json(report.as_json())
        return report.exit_code
    bad = {"fail", "unknown"}
    show_table([one for one in report.findings if everything or one.counts in bad])
    say(summary(report))
    return report.exit_code
