"""secrets: find them where they should not be, rotate signing keys, copy between vaults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mngdb.cli.common import Options, common, say, say_json
from mngdb.cli.lazy import Elsewhere


@click.group(
    cls=Elsewhere,
    elsewhere={
        "set": "mngdb secret set NAME",
        **dict.fromkeys(("get", "show"), "mngdb env APP"),
    },
)
@common
def secrets(_: Options) -> None:
    """Scan for secrets, rotate signing keys, copy secrets between vaults."""


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


@secrets.command()
@click.argument("what", metavar="jwt")
@click.option("--due", is_flag=True, help="Do only what the file's schedule asks for now.")
@click.option(
    "--force", is_flag=True, help="Drop a previous key that is still needed: its tokens end."
)
@common
def rotate(options: Options, what: str, due: bool, force: bool) -> None:
    """Replace the key that signs JSON Web Tokens. The current one becomes the previous one, which
    verifies tokens for as long as 'keep' in the file says.

    Passwords of databases are rotated by 'mngdb rotate'.
    """
    from mngdb.errors import UsageError
    from mngdb.ops import jwt

    if what != "jwt":
        raise UsageError(
            f"{what!r} is not 'jwt', the only key that is rotated here",
            f"passwords of databases: mngdb rotate {what}",
        )
    context = options.context()
    done = jwt.tend(context) if due else jwt.rotate(context, force=force)
    document = {
        "stack": context.stack.name,
        "secret": what,
        "rotated": done is not None and done.until is not None,
        "published": list(done.apps) if done else [],
    }
    if done is None:
        options.say(document, "nothing is due")
    elif due and done.until is None:
        options.say(document, "the previous key is withdrawn")
    else:
        apps = ", ".join(done.apps) or "nobody"
        options.say(document, f"a new key signs tokens; published to {apps}")


_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace secrets that differ.")


@secrets.command()
@click.option("--to", "place", required=True, metavar="VAULT", help="aws:NAME or files:FOLDER.")
@_OVERWRITE
@common
def push(options: Options, place: str, overwrite: bool) -> None:
    """Copy the stack's secrets from the file's vault to another one. No secret is shown."""
    from mngdb.ops import exchange

    context = options.context()
    done = exchange.push(context, exchange.other(context, place), overwrite=overwrite)
    _copied(options, context.stack.name, place, [one.name for one in done], "to")


@secrets.command()
@click.option(
    "--from", "place", required=True, metavar="VAULT", help="aws:NAME, files:FOLDER or environ."
)
@_OVERWRITE
@common
def pull(options: Options, place: str, overwrite: bool) -> None:
    """Copy the stack's secrets from another vault to the file's. No secret is shown. The next 'up'
    sets them on the servers."""
    from mngdb.ops import exchange

    context = options.context()
    done = exchange.pull(context, exchange.other(context, place), overwrite=overwrite)
    _copied(options, context.stack.name, place, [one.name for one in done], "from")


@secrets.command()
@click.option(
    "--to", "place", required=True, metavar="VAULT", help="aws:NAME, files:FOLDER or environ."
)
@common
def diff(options: Options, place: str) -> int:
    """Compare the stack's secrets in the file's vault and another one. No secret is shown.

    Exits 0 if they are the same, 1 if they are not.
    """
    from mngdb.ops import exchange

    context = options.context()
    found = exchange.compare(context, exchange.other(context, place))
    differing = [one for one in found if one.state != "same"]
    if options.json:
        secrets = [{"name": one.name, "state": one.state} for one in found]
        say_json({"stack": context.stack.name, "vault": place, "secrets": secrets})
    else:
        for one in differing:
            say(f"{one.name}: {one.state}")
        say(f"{len(found) - len(differing)} of {len(found)} secrets are the same")
    return 1 if differing else 0


def _copied(options: Options, stack: str, place: str, names: list[str], way: str) -> None:
    document = {"stack": stack, "vault": place, "copied": names}
    what = f"copied {way} {place}: {', '.join(names)}" if names else "nothing to copy"
    options.say(document, what)
