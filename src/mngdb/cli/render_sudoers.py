"""render sudoers."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common, say, say_json


@click.command()
@common
def sudoers(options: Options) -> None:
    """Print the rule for sudo that lets the groups under 'team:' run mngdb-team as this account
    (docs/team.md)."""
    from mngdb.ops.team import sudoers as rule

    context = options.context()
    text = rule(context)
    if options.json:
        say_json({"stack": context.stack.name, "text": text})
    else:
        say(text.rstrip("\n"))
