"""render iam."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mngdb.cli.common import Options, common, tell, verbatim


@click.command()
@click.argument("who", required=False, metavar="[APP|operators]")
@click.option("--account", help="Number of the AWS account, 12 digits. Default: any ('*').")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Directory to write each policy to, as WHO.json. Default: standard output.",
)
@common
def iam(options: Options, who: str | None, account: str | None, output: Path | None) -> None:
    """Print least-privilege IAM policies for the vault in AWS Secrets Manager: each app may read
    what is published for it, 'operators' may read and write the stack's secrets.

    With APP or 'operators' prints that policy alone, as 'aws iam create-policy --policy-document'
    takes it.
    """
    from mngdb.errors import UsageError
    from mngdb.ops.iam import policies
    from mngdb.ops.render import write

    context = options.context(anywhere=True)
    found = policies(context, account)
    if who is not None:
        if who not in found:
            raise UsageError(f"no app named {who!r}", f"policies: {', '.join(found)}")
        found = {who: found[who]}
    if output is not None:
        files = {f"{name}.json": json.dumps(one, indent=2) + "\n" for name, one in found.items()}
        write(output, files)
        document = {"stack": context.stack.name, "folder": str(output), "files": [*files]}
        options.say(document, f"wrote {', '.join(files)} to {output}")
        return
    if account is None:
        tell("note: the policies hold for any account; --account NUMBER names one")
    verbatim(json.dumps(found[who] if who is not None else found, indent=2))
