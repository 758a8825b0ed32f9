"""render preset."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common, say, say_json


@click.command()
@click.argument("name", required=False)
@click.option("--keys", default="APP:*", metavar="PATTERN", help="The app's keys, as in the file.")
@common
def preset(options: Options, name: str | None, keys: str) -> None:
    """What `for: NAME` gives an app in Redis: keys, channels, commands, server settings, and what
    the software itself has to be told. Without a name, the list. Needs no file."""
    from mngdb.errors import UsageError
    from mngdb.spec.presets import check_name, prefix_of, presets

    if name is None:
        every = {one: found.title for one, found in presets().items()}
        width = max(map(len, every))
        lines = [f"{one:<{width}}  {title}" for one, title in every.items()]
        _show(options, {"presets": every}, lines)
        return
    prefix = prefix_of(keys)
    if prefix is None:
        raise UsageError(f"--keys: {keys!r} has no prefix", "write it as 'APP:*'")
    try:
        found = presets()[check_name(name)]
    except ValueError as error:
        raise UsageError(str(error)) from None
    _show(options, {"preset": name, **found.document(prefix)}, [*found.lines(name, prefix)])


def _show(options: Options, document: object, lines: list[str]) -> None:
    if options.json:
        say_json(document)
    else:
        say("\n".join(lines))
