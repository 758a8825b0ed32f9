"""rotate: other passwords for logins, without refusing anybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from mngdb.cli.common import Options, common, repeatable, say, say_json, seconds, tell, tell_errors

if TYPE_CHECKING:
    from mngdb.ops.context import Context
    from mngdb.ops.rotate.note import Entry
    from mngdb.ops.rotate.work import Left, Login


@click.command()
@click.argument("apps", metavar="[APP]...", nargs=-1)
@click.option("--admin", is_flag=True, help="The administrators of the stack's own servers.")
@click.option("--monitor", is_flag=True, help="The login that metrics are read by.")
@click.option("--all", "everything", is_flag=True, help="All apps, --admin and --monitor.")
@click.option(
    "--instance",
    "instances",
    multiple=True,
    metavar="INSTANCE",
    help="On this instance only; with --admin also an external one. Repeatable.",
)
@click.option(
    "--grace",
    metavar="DURATION",
    callback=seconds,
    help="Wait this long for sessions of the old password. Default: the file's, or 15m.",
)
@click.option("--now", is_flag=True, help="Withdraw the old password at once: it has leaked.")
@click.option("--abort", is_flag=True, help="Go back to the old password.")
@click.option("--status", is_flag=True, help="Show the rotations that are not over.")
@click.option("--due", is_flag=True, help="What the file's schedule asks for, as the agent does.")
@common
@repeatable
def rotate(
    options: Options,
    apps: Sequence[str],
    admin: bool,
    monitor: bool,
    everything: bool,
    instances: Sequence[str],
    grace: float | None,
    now: bool,
    abort: bool,
    status: bool,
    due: bool,
) -> int:
    """Give logins new passwords: those of APP, of administrators, or all.

    The new password lets in beside the old one, then apps read it (mngdb.client), then the old one
    is withdrawn: once no session that it opened is left, or after the time of --grace. A command
    that was interrupted is finished by the same command, or by the agent.
    """
    from mngdb.errors import UsageError
    from mngdb.ops.rotate import report, select
    from mngdb.ops.rotate import rotate as ops

    chosen = [*apps, *instances, admin, monitor, everything, grace is not None, now, abort]
    if (status or due) and (any(chosen) or (status and due)):
        alone = "--status" if status else "--due"
        raise UsageError(f"{alone} takes no APP and no other options of rotate")
    context = options.context()
    if status:
        return _status(options, report.going(context), report.lines)
    if due:
        if not (options.json or ops.pending(context)):
            say("nothing is due")
            return 0
        return _end(options, context, ops.due(context, _tell), [])
    apps = [*context.stack.apps] if everything else apps
    if not (apps or admin or monitor or everything):
        raise UsageError("nothing to rotate", "name an app, or use --admin, --monitor or --all")
    logins = select.select(
        context, apps, admin=admin or everything, monitor=monitor or everything, only=instances
    )
    if context.located.kind == "new":
        raise UsageError("this stack was never started", "mngdb up")
    if abort:
        going = {one.secret for one in report.going(context)}
        logins = [one for one in logins if one.secret in going]
        if not logins:
            raise UsageError("none of these passwords is being rotated", "mngdb rotate --status")
        names = {one.secret for one in logins}
        return _end(options, context, ops.abort(context, names, _tell), logins)
    left = ops.rotate(context, logins, _tell, grace=grace, now=now)
    return _end(options, context, left, logins)


def _tell(event: object) -> None:
    """Progress, for people."""
    from mngdb.events import Progress

    if isinstance(event, Progress):
        tell(f"{event.unit}: {event.text}")


def _status(
    options: Options, going: Sequence[Entry], lines: Callable[[Sequence[Entry]], list[str]]
) -> int:
    found = "\n".join(lines(going)) or "no rotation is going on"
    options.say({"rotations": [asdict(one) for one in going]}, found)
    return 0


def _end(options: Options, context: Context, left: Left, logins: Sequence[Login]) -> int:
    """Say what came of it. Returns the exit code."""
    from mngdb.ops.rotate import report

    going = report.going(context)
    names = {one.secret for one in going}
    done = [one.secret for one in logins if one.secret not in names | left.errors.keys()]
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "done": done,
                "rotations": [asdict(one) for one in going],
                "errors": {name: error.message for name, error in left.errors.items()},
            }
        )
    elif done:
        say(f"done: {', '.join(done)}")
    for line in report.lines(going):
        tell(line)
    return 1 if tell_errors(left.errors) else 0
