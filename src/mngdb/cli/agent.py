"""agent."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common


@click.command()
@common
def agent(options: Options) -> None:
    """Serve metrics and start servers again that died, until SIGTERM. 'up' starts it as a unit of
    the stack; a service manager may as well."""
    from mngdb.agent.main import run

    run(options.context())
