"""init, config, schema."""

from __future__ import annotations

from pathlib import Path

import click

from mngdb.cli.common import DEFAULT_FILE, Options, common, in_full, say, say_json
from mngdb.spec.engine_info import ENGINE_INFO, FIRST
from mngdb.spec.target_info import DEFAULT_TARGET


@click.command()
@click.option(
    "--with",
    "engines",
    default=",".join(FIRST),
    show_default=True,
    metavar="ENGINE,…",
    help=f"Engines: {', '.join(ENGINE_INFO)}.",
)
@click.option(
    "--app", "apps", multiple=True, metavar="NAME", help="App that uses them; repeatable."
)
@click.option("--name", default="mng", show_default=True, help="The stack's name.")
@common
def init(options: Options, engines: str, apps: tuple[str, ...], name: str) -> None:
    """Write a commented mngdb.yaml. Never prompts, and never overwrites a file."""
    from mngdb.ops.init import write

    path = Path(options.files[0] if options.files else DEFAULT_FILE)
    wanted = [one.strip() for one in engines.split(",") if one.strip()]
    write(path, name, wanted, list(apps), options.target or DEFAULT_TARGET)
    options.say({"file": str(path)}, in_full(f"wrote {path}; next: mngdb up"))


@click.command()
@common
def config(options: Options) -> None:
    """Print the file with all defaults filled in, and the resulting server settings."""
    from mngdb.ops.config import as_json, as_yaml

    context = options.context(anywhere=True)
    if options.json:
        say_json(as_json(context))
    else:
        say(as_yaml(context))


@click.command()
@common
def schema(_: Options) -> None:
    """Print the JSON Schema of the file, for completion and validation in editors."""
    from mngdb.spec.schema import schema as make

    say_json(make())
