"""agent."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common


@click.command()
@click.option("--guard", is_flag=True, hidden=True)
@common
def agent(options: Options, guard: bool) -> None:
    """Serve metrics and restart crashed servers, until SIGTERM. 'up' starts the agent as a unit of
    the stack; a service manager can run it, too."""
    if guard:  # the agent's own child
        from mngdb.agent.guard import run
    else:
        from mngdb.agent.main import run
    run(options.context())
