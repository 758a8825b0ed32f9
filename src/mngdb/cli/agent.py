"""agent."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common


@click.command()
@common
def agent(options: Options) -> None:
    """Serve metrics and restart crashed servers, until SIGTERM. 'up' starts the agent as a unit of
    the stack; a service manager can run it, too."""
    from mngdb.agent.main import run

    run(options.context())
