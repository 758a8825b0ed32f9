"""render systemd."""

from __future__ import annotations

from pathlib import Path

import click

from mngdb.cli.common import Options, common, say, say_json, tell, verbatim


@click.command()
@click.option("--output", metavar="DIR", help="Folder to write the unit to. Default: print it.")
@click.option("--user", "kind", flag_value="user", help="Write a user unit.")
@click.option("--system", "kind", flag_value="system", help="Write a system unit.")
@common
def systemd(options: Options, output: str | None, kind: str | None) -> None:
    """Write the unit that starts the stack at boot. Default: a system unit for root, otherwise a
    user unit."""
    from typing import cast

    from mngdb.ops import render, service
    from mngdb.targets.process import boot

    context = options.context()
    chosen = cast(boot.Kind, kind) if kind else boot.ours()
    name, text = service.name(context), service.render(context, chosen)
    if output is not None:
        render.write(Path(output), {name: text})
    if options.json:
        say_json({"unit": name, "kind": chosen, "text": text})
    elif output is None:
        verbatim(text.rstrip("\n"))
    else:
        say(f"wrote {Path(output) / name}")
        scope = "--user " if chosen == "user" else ""
        where = boot.folder(chosen)
        tell(f"next: copy it to {where}, then systemctl {scope}enable --now {name}")
