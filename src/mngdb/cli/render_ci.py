"""render ci."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common


@click.command()
@click.argument("kind", type=click.Choice(["github", "gitlab"]))
@click.option("--app", help="App to print variables of; optional if the file has one app.")
@common
def ci(options: Options, kind: str, app: str | None) -> None:
    """Print an app's variables for a CI configuration: secrets by name, never by value."""
    from mngdb.ops.ci import render

    context = options.context()
    text = render(context, kind, app)
    document = {"stack": context.stack.name, "kind": kind, "text": text}
    options.say(document, text.rstrip("\n"))
