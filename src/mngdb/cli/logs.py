"""logs: what servers and the agent wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mngdb.cli.common import Options, common, say_json, tell, verbatim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mngdb.errors import MngdbError
    from mngdb.ops.context import Context


@click.command()
@click.argument("instance", required=False)
@click.option(
    "-F", "--follow", is_flag=True, help="Print new lines as they are written, until Ctrl-C."
)
@click.option(
    "-n", "--lines", "--tail", default=50, show_default=True, help="Number of lines to start with."
)
@common
def logs(options: Options, instance: str | None, follow: bool, lines: int) -> int:
    """Show the log of INSTANCE, of the `agent`, or of a container that 'status' lists. Default: of
    every server and the agent, each line after the name of what wrote it."""
    from mngdb.errors import UsageError
    from mngdb.ops.logs import every
    from mngdb.ops.logs import follow as watch
    from mngdb.words import colourless

    if options.json and follow:
        raise UsageError("--json and --follow cannot be used together", "omit one of them")
    context = options.context()
    names = [instance] if instance is not None else every(context)
    if options.json:
        return _document(context, instance, names, lines)
    width = max(map(len, names), default=0)
    shown, code = False, 0

    def failed(error: MngdbError) -> None:
        nonlocal code, shown
        if instance is not None:
            raise error
        tell(f"{error.message}{f'; {error.hint}' if error.hint else ''}")
        shown, code = True, error.exit_code

    read = watch if follow else _tails
    try:
        for name, text in read(context, names, lines, failed):
            text = colourless(text)
            verbatim(text if instance is not None else f"{name:<{width}}  {text}")
            shown = True
    except KeyboardInterrupt:
        return code
    if not shown and lines > 0:
        tell(f"{instance or 'the stack'} has no log yet")
    return code


def _document(context: Context, instance: str | None, names: Sequence[str], lines: int) -> int:
    """As one JSON document: of `instance` alone, or of all those that can be read."""
    found: dict[str, list[str]] = {}
    errors: dict[str, MngdbError] = {}
    for name in names:
        one = _tail(context, name, lines)
        if isinstance(one, list):
            found[name] = one
        elif instance is not None:
            raise one
        else:
            errors[name] = one
    if instance is not None:
        shown: dict[str, object] = {"instance": instance, "lines": found[instance]}
    else:
        shown = {"logs": found, "errors": {name: one.message for name, one in errors.items()}}
    say_json({"stack": context.stack.name, **shown})
    return max((one.exit_code for one in errors.values()), default=0)


def _tails(
    context: Context, names: Sequence[str], lines: int, failed: Callable[[MngdbError], None]
) -> Iterator[tuple[str, str]]:
    for name in names:
        found = _tail(context, name, lines)
        if isinstance(found, list):
            yield from ((name, text) for text in found)
        else:
            failed(found)


def _tail(context: Context, name: str, lines: int) -> list[str] | MngdbError:
    """The last lines of a log, or why it cannot be read."""
    from mngdb.errors import MngdbError, of_system
    from mngdb.ops.logs import tail

    try:
        return tail(context, name, lines)
    except (MngdbError, OSError) as error:
        return of_system(error)
