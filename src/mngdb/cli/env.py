"""env: an app's variables, printed, checked, and as an example without secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from mngdb.cli.common import Options, common, say, say_json, tell, verbatim
from mngdb.errors import UsageError
from mngdb.spec.engine_info import DRIVERS
from mngdb.words import many

#: What `--for` takes besides drivers: how the lines are written, or where an app reads them.
_FORMATS = ("shell", "docker", "client")


class _Apps(click.Group):
    """A group whose first word is a command's name, or an app's: what stands behind `--` is an
    app, also one that is called as a command is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name == "--app":
                raise UsageError("the app is an argument, not an option", "mngdb env APP") from None
            if error.option_name not in {one for p in _of_app.params for one in p.opts}:
                raise
            text = f"{error.option_name} belongs behind the app"
            raise UsageError(text, f"mngdb env APP {error.option_name} …") from None
        rest = [*ctx._protected_args, *ctx.args]
        if not rest:
            raise UsageError("an app is missing", "mngdb env APP")
        behind = given[given.index("--") + 1 :] if "--" in given else None
        ctx.meta["app"] = behind is not None and rest == behind
        return ctx.args

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and (ctx.meta["app"] or args[0] not in self.commands):
            return "APP", _of_app, args
        return super().resolve_command(ctx, args)


def _known(*formats: str) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], Any]:
    """Refuses what is neither a driver nor one of the formats, with the nearest."""

    def check(
        ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
    ) -> tuple[str, ...]:
        from mngdb.spec.driver_names import unknown_driver

        known = [*formats, *DRIVERS]
        for value in values:
            text = unknown_driver(value, known)
            if "," in value:
                text = f"{value[:40]!r} has several names: repeat --for"
            if value not in known:
                raise click.BadParameter(text, ctx, param)
        return values

    return check


@click.group(cls=_Apps, subcommand_metavar="APP | check [FILE] | example", no_args_is_help=False)
@common
def env(_: Options) -> None:
    """Print the variables of APP, one NAME=value per line, for a shell or a .env file, with
    connection strings as '--for DRIVER' reads them, or as 'env:' of the app in the file says.

    `check` checks a .env file or the environment, `example` writes a .env.example. Put two dashes
    before an app that has one of these names: 'mngdb env -- check'.
    """


@click.command("APP")
@click.argument("app", metavar="")  # the name of the command
@click.option(
    "--for",
    "readers",
    multiple=True,
    callback=_known(*_FORMATS),
    metavar="NAME",
    help="Driver or framework to print the variables for, one for each server (repeatable): "
    + ", ".join(DRIVERS)
    + "; or a format: shell (and dotenv libraries, the default), docker ('docker run --env-file'), "
    "client (mngdb.client: no secrets, but where it reads them). docs/connecting.md",
)
@click.option(
    "--write",
    "file",
    type=click.Path(path_type=Path),
    help="Write them to a file, mode 0600, instead. Other lines of a file that is there are kept.",
)
@click.option(
    "--published",
    is_flag=True,
    help="Print the addresses that 'publish' in the file opens, for programs on the Docker host "
    "that are not on the stack's network.",
)
@common
def _of_app(
    options: Options, app: str, readers: Sequence[str], file: Path | None, published: bool
) -> None:
    """Print the variables of APP."""
    from mngdb.ops.env_file import write
    from mngdb.ops.variables import dotenv, env_file, source
    from mngdb.ops.variables import env as make

    drivers = [one for one in readers if one not in _FORMATS]
    formats = {one for one in readers if one in _FORMATS}
    if len(formats) > 1 or ("client" in formats and drivers):
        raise UsageError("'--for' names formats or drivers that cannot be used together")
    context = options.context()
    if "client" in formats:
        found = source(context, app)
    else:
        found = make(context, app, published=published, drivers=drivers)
    form = env_file if "docker" in formats else dotenv
    lines = {name: form(name, value) for name, value in found.items()}
    if file is not None:
        done = write(context, app, file, lines)
        document = {"app": app, "file": str(file), "variables": [*found], "ignored": done.ignored}
        options.say(document, f"wrote {file}: {many(len(found), 'variable')}, mode 0600")
        if done.ignored is False:
            tell(f"note: git does not ignore {file}\n  hint: {done.hint}")
        return
    if options.json:
        say_json(found)
        return
    if not found:
        tell(f"the file grants {app} no access, so it has no variables")
    for line in lines.values():
        verbatim(line)


@env.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--app",
    "apps",
    multiple=True,
    help="App that the variables are for. Default: by the logins in them.",
)
@click.option(
    "--for",
    "drivers",
    multiple=True,
    callback=_known(),
    metavar="DRIVER",
    help="Driver or framework that the variables are for (repeatable). Default: as the file says.",
)
@click.option("--environment", is_flag=True, help="Check the environment, even if there is a .env.")
@click.option("--all", "everything", is_flag=True, help="Also show checks that pass.")
@common
def check(
    options: Options,
    file: Path | None,
    apps: Sequence[str],
    drivers: Sequence[str],
    environment: bool,
    everything: bool,
) -> int:
    """Check FILE. Default: the .env next to mngdb.yaml, else the environment. No secret is shown.

    Exits 0 only if nothing failed and nothing is unknown, 1 if a check failed, 3 if something could
    not be observed.
    """
    from mngdb.cli.check import show_table, summary
    from mngdb.ops.env_check import default_file, env_check

    if file and environment:
        raise UsageError("FILE and --environment cannot be used together")
    context = options.context(anywhere=True)
    if file is None and not environment:
        file = default_file(context)
    report = env_check(context, file, apps, drivers)
    if options.json:
        say_json(report.as_json())
        return report.exit_code
    tell(f"checking {file or 'the environment'}")
    show_table([one for one in report.findings if everything or one.counts in {"fail", "unknown"}])
    say(summary(report))
    return report.exit_code


@env.command("example")
@click.option(
    "--app",
    "apps",
    multiple=True,
    help="Only the variables of this app; repeatable. Default: all apps.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="File to write ('-': standard output). Default: .env.example next to mngdb.yaml.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@common
def example(options: Options, apps: Sequence[str], output: Path | None, force: bool) -> None:
    """Write a .env.example: the variables that apps need, without secrets."""
    from mngdb.ops.env_check import EXAMPLE, env_example

    context = options.context(anywhere=True)
    path = context.stack.folder / EXAMPLE if output is None else output
    text = env_example(context, None if str(path) == "-" else path, apps, force)
    document = {"stack": context.stack.name, "file": str(path), "text": text}
    options.say(document, text.rstrip("\n") if str(path) == "-" else f"wrote {path}")
