"""render prometheus, render alertmanager, render grafana."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from mngdb.cli.common import Options, common, say, say_json, tell, verbatim


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --output to a command that renders files."""
    return click.option(
        "--output",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Write the files to DIR, created if missing. Default: print them.",
    )(function)


@click.command()
@output_option
@click.option(
    "--alertmanager", metavar="HOST:PORT", help="Alertmanager that Prometheus sends alerts to."
)
@common
def prometheus(options: Options, output: Path | None, alertmanager: str | None) -> None:
    """Write prometheus.yml with the stack's scrape configuration, and the alert rules."""
    from mngdb.ops.alert_files import prometheus_files

    give(options, prometheus_files(options.context(), alertmanager), output)


@click.command()
@output_option
@click.option(
    "--secrets",
    metavar="DIR",
    help="Directory where Alertmanager finds secrets (alerts_NAME). Default: the vault.",
)
@common
def alertmanager(options: Options, output: Path | None, secrets: str | None) -> None:
    """Write alertmanager.yml: routes and receivers, with secrets in separate files."""
    from mngdb.ops.alert_files import alertmanager_files

    give(options, alertmanager_files(options.context(), secrets), output)


@click.command()
@output_option
@common
def grafana(options: Options, output: Path | None) -> None:
    """Write two Grafana dashboards: the stack, and its engines."""
    from mngdb.ops.alert_files import grafana_files

    give(options, grafana_files(options.context()), output)


def give(options: Options, files: Mapping[str, str], output: Path | None) -> None:
    """Write the files, or print them."""
    from mngdb.ops.render import write

    if output is not None:
        changed = write(output, files)
        if options.json:
            say_json({"folder": str(output), "files": list(files), "changed": changed})
            return
        for name in files:
            say(str(output / name))
        if not changed:
            tell("nothing to change")
    elif options.json:
        say_json({"files": dict(files)})
    else:
        for name, content in files.items():
            if len(files) > 1:
                verbatim(f"# --- {name}")
            verbatim(content.rstrip("\n"))
