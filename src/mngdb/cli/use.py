"""url, shell, secret."""

from __future__ import annotations

import sys

import click

from mngdb.cli.common import Options, common, say, say_json, tell
from mngdb.cli.lazy import Elsewhere


@click.command()
@click.argument("instance")
@click.argument("app", required=False)
@click.option("--restored", is_flag=True, help="Of the server that 'mngdb restore' started last.")
@common
def url(options: Options, instance: str, app: str | None, restored: bool) -> None:
    """Print the connection string of APP for INSTANCE. Default: the administrator's."""
    from mngdb.errors import UsageError
    from mngdb.ops import access
    from mngdb.ops.backup import restored as beside

    context = options.context()
    if app in context.stack.instances and instance in context.stack.apps:
        text = f"{instance!r} is an app and {app!r} an instance: the instance comes first"
        raise UsageError(text, f"mngdb url {app} {instance}")
    found = (beside if restored else access).url(context, instance, app)
    document = {"stack": context.stack.name, "instance": instance, "app": app, "url": found}
    options.say(document, found)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("instance")
@click.option("--app", help="Log in as this app. Default: the administrator.")
@click.option("--restored", is_flag=True, help="Of the server that 'mngdb restore' started last.")
@click.argument("rest", nargs=-1, type=click.UNPROCESSED)
@common
def shell(
    options: Options, instance: str, app: str | None, restored: bool, rest: tuple[str, ...]
) -> int:
    """Open the client of INSTANCE: psql, redis-cli or mongosh. Without redis-cli or mongosh, a
    prompt of mngdb's own.

    REST is passed to the client. Put two dashes before it: 'mngdb shell postgres shop -- -f
    tables.sql'; otherwise -f, --json and --target are read as mngdb's own options. It may begin
    with an APP: log in as this one. A command ('mngdb shell redis GET key'), a statement ('mngdb
    shell mongodb "db.users.countDocuments()"') or a list of them on standard input needs no client;
    it exits with 1 if the server refused one. PostgreSQL: 'mngdb shell postgres shop "SELECT 1"'.
    """
    from mngdb.cli.prompt import converse
    from mngdb.ops import shell as here
    from mngdb.ops.backup import restored as beside

    return converse((beside if restored else here).shell(options.context(), instance, app, rest))


@click.group(
    cls=Elsewhere,
    elsewhere={
        "rotate": "mngdb rotate APP",
        **{name: f"mngdb secrets {name} --to VAULT" for name in ("push", "diff")},
        "pull": "mngdb secrets pull --from VAULT",
        "scan": "mngdb secrets scan",
        **dict.fromkeys(("get", "show"), "mngdb env APP"),
    },
)
@common
def secret(_: Options) -> None:
    """Store a secret in the vault."""


@secret.command("set", context_settings={"allow_extra_args": True})
@click.argument("name")
@common
def secret_set(options: Options, name: str) -> None:
    """Read the secret NAME (INSTANCE_LOGIN) from standard input and store it in the vault."""
    from mngdb.checks.strength import LENGTH
    from mngdb.errors import UsageError
    from mngdb.ops.secrets import put
    from mngdb.vaults import LONGEST

    if click.get_current_context().args:
        raise UsageError(
            "a value is read from standard input, never from the command line; the shell's history "
            "has this one now",
            f"mngdb secret set {name} < FILE; remove the line from the history, or set another "
            "value",
        )
    context = options.context()
    if sys.stdin.isatty():
        value = click.prompt(f"{name}", hide_input=True, err=True)
    else:
        value = sys.stdin.read(2 * LONGEST)  # enough to see that it is too long
    done = put(context, name, value)
    if done.before is not None:
        tell(f"note: the key of before is kept in {done.before}: snapshots until now need it")
    if done.warning:
        tell(f"warning: {done.warning}")
        tell(
            "  hint: new backups begin anew with it; for the others, set the one that the kit holds"
        )
    if options.json:
        say_json({"stack": context.stack.name, "secret": name, "where": done.where})
    else:
        then = "; 'mngdb up' sets it on the server" if done.of_server else ""
        say(f"stored in {done.where}{then}")
        length = len(value.strip())
        if done.of_server and length < LENGTH:
            tell(f"note: it has {length} characters; 'mngdb check' requires {LENGTH} or more")
