"""init, config, schema."""

from __future__ import annotations

from pathlib import Path

import click

from mngdb.cli.common import DEFAULT_FILE, Options, common, in_full, say_json, verbatim
from mngdb.spec.engine_info import ENGINE_INFO, FIRST
from mngdb.spec.target_info import DEFAULT_STACK, DEFAULT_TARGET


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
    "--app", "apps", multiple=True, metavar="NAME,…", help="Apps that use them; repeatable."
)
@click.option("--name", default=DEFAULT_STACK, show_default=True, help="The stack's name.")
@click.option(
    "--from",
    "origins",
    multiple=True,
    metavar="URL",
    help="A running server to describe, as postgresql://USER@HOST, redis://USER@HOST or "
    "mongodb://USER@HOST, or an SQL file with CREATE USER and GRANT. Repeatable; '-' reads URLs "
    "from standard input.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --from, a file with one password per line, in the order of the URLs. Default: "
    "MNGDB_SECRET_INSTANCE_ADMIN, else a prompt.",
)
@click.option(
    "--keep-passwords",
    is_flag=True,
    help="With --from FILE.sql, store the passwords in it in the vault.",
)
@common
def init(
    options: Options,
    engines: str,
    apps: tuple[str, ...],
    name: str,
    origins: tuple[str, ...],
    password_file: Path | None,
    keep_passwords: bool,
) -> None:
    """Write a commented mngdb.yaml, or describe running servers (--from). Never overwrites a file.

    With --from, look at running servers and write the file that describes them. Nothing changes
    there, and the file revokes nothing ('adopt: true').
    """
    from mngdb.errors import UsageError
    from mngdb.ops.init import write

    path = Path(options.files[0] if options.files else DEFAULT_FILE)
    if origins:
        from mngdb.cli.adopt import adopt

        if apps:
            raise UsageError("--app cannot be used with --from", "add its line to the file")

        adopt(options, path, name, origins, password_file, keep=keep_passwords)
        return
    if password_file or keep_passwords:
        option = "--password-file" if password_file else "--keep-passwords"
        raise UsageError(f"{option} is for --from", "mngdb init --from URL")
    wanted = [one.strip() for one in engines.split(",") if one.strip()]
    named = [one.strip() for given in apps for one in given.split(",")]
    write(path, name, wanted, named, options.target or DEFAULT_TARGET)
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
        verbatim(as_yaml(context))


@click.command()
@common
def schema(_: Options) -> None:
    """Print the JSON Schema of the file, for completion and validation in editors."""
    from mngdb.spec.schema import schema as make

    say_json(make())
