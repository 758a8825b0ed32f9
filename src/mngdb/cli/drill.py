"""drill: backups that are tried, and what came of it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mngdb.cli.backup import Shown, agree_to_cost
from mngdb.cli.common import Options, common, say, say_json, tell
from mngdb.cli.layout import table
from mngdb.words import many, plain

if TYPE_CHECKING:
    from mngdb.ops.backup.drill import Drill
    from mngdb.ops.context import Context


@click.command()
@click.argument("instances", nargs=-1)
@click.option("--snapshot", metavar="ID", help="This snapshot instead of the newest.")
@click.option(
    "--report",
    metavar="FILE.html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page for people there, and beside it FILE.json.",
)
@click.option("--history", is_flag=True, help="List the drills that were made instead.")
@click.option("--remote", is_flag=True, help="Without the stack: by its kit and its store alone.")
@click.option(
    "--kit",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --remote: the kit, whose passphrase is asked for.",
)
@click.option("--store", metavar="STORE", help="With --remote: where the backups are now.")
@click.option("--yes", is_flag=True, help="Do not ask where it costs money.")
@common
def drill(
    options: Options,
    instances: Sequence[str],
    snapshot: str | None,
    report: Path | None,
    history: bool,
    remote: bool,
    kit: Path | None,
    store: str | None,
    yes: bool,
) -> int:
    """Restore every instance, or INSTANCES, to a random moment, in a disposable server.

    The moment is one that the newest snapshot and the log since then lead to. The data is checked,
    every app logs in and works, the time is measured, and the server is removed. The live servers
    are not touched.

    Of a cluster of Atlas, the server is another cluster of its tier. What that costs is said first.

    With --remote, on any machine: nothing of the stack is needed but its kit and its store, and
    nothing is left of it.
    """
    from mngdb.ops.backup import chain
    from mngdb.ops.backup.drill import drill as run
    from mngdb.stores.streams import keep_memory

    if history and (snapshot or report or remote):
        raise click.UsageError("--history goes without --snapshot, --report and --remote")
    if history:
        return _history(options, instances)
    keep_memory()
    if report is not None:
        _check(report)
    if remote:
        opened = _opened(options, kit, store)
    elif kit is not None or store is not None:
        raise click.UsageError("--kit and --store need --remote")
    else:
        opened = contextlib.nullcontext(options.context())
    with opened as context:
        name = context.stack.name
        for chosen in instances or context.stack.instances:
            agree_to_cost(context, context.instance(chosen).name, yes)
        found = run(context, instances, Shown(), snapshot)
        if report is not None:
            drilled = {one.instance for one in found}
            left_out = [one for one in context.stack.instances if one not in drilled]
            _write(report, name, found, left_out, chain.public_key(context.stack.state))
    if options.json:
        say_json({"stack": name, "drills": [one.as_json() for one in found]})
    else:
        for one in found:
            _drilled(one)
    return 1 if any(one.verdict == "fail" for one in found) else 0


def _opened(
    options: Options, kit: Path | None, store: str | None
) -> contextlib.AbstractContextManager[Context]:
    """The stack of a kit, for a while."""
    from mngdb.cli.kit import read
    from mngdb.ops.backup.rebuild import set_up_for_a_while

    if kit is None:
        raise click.UsageError("--remote needs --kit FILE")
    return set_up_for_a_while(read(kit), os.environ, target=options.target, store=store)


def _check(report: Path) -> None:
    """Raise UsageError where a report cannot be written, before an hour of work for it."""
    from mngdb import disk
    from mngdb.errors import UsageError

    if report.suffix != ".html":
        raise UsageError(f"{report} does not end in .html", f"mngdb drill --report {report}.html")
    if not report.parent.is_dir():
        raise UsageError(f"{report}: no directory {report.parent}")
    for path in (report, report.with_suffix(".json")):
        disk.replaceable(path)
        if path.exists():
            raise UsageError(f"{path} is there already", "write the report to another file")


def _write(
    report: Path, stack: str, drills: Sequence[Drill], left_out: Sequence[str], public_key: str
) -> None:
    from mngdb import disk
    from mngdb.ops.backup.report import document, render

    data = json.dumps(document(stack, drills, public_key), indent=2, ensure_ascii=False)
    disk.write(report, render(stack, drills, public_key, left_out), mode=0o644)
    disk.write(report.with_suffix(".json"), data + "\n", mode=0o644)
    tell(f"report: {report}, {report.with_suffix('.json')}")


def _history(options: Options, instances: Sequence[str]) -> int:
    """The drills that were made, and whether that is what was written."""
    from mngdb.ops.backup import chain
    from mngdb.ops.backup.drill import drills
    from mngdb.ops.backup.history import checked, iso

    context = options.context()
    state = context.stack.state
    names = [context.instance(one).name for one in instances]
    found = [one for one in drills(state) if not names or one.instance in names]
    seen = checked(state)
    if options.json:
        whole: dict[str, object] = {
            "lines": seen.lines,
            "whole": not seen.problems,
            "problems": list(seen.problems),
            "public_key": chain.public_key(state) if seen.lines else None,
        }
        drilled = [one.as_json() for one in found]
        say_json({"stack": context.stack.name, "drills": drilled, "chain": whole})
        return 1 if seen.problems else 0
    rows = [
        (iso(one.at), one.instance, one.verdict, iso(one.restored_to), f"{one.rto:.1f} s")
        for one in found
    ]
    if rows:
        for line in table(("MADE", "INSTANCE", "VERDICT", "RESTORED TO", "TOOK"), rows):
            say(line)
    for text in seen.problems:
        say(f"damaged: {plain(text)}")
    before = "" if seen.begin else "; older ones are no longer kept"
    if not seen.problems:
        say(f"{many(seen.lines, 'drill')}, the history is whole{before}")
    return 1 if seen.problems else 0


def _drilled(one: Drill) -> None:
    from mngdb.ops.backup.history import iso

    colour = "green" if one.verdict == "pass" else "red"
    verdict = click.style(one.verdict, fg=colour)
    say(f"{one.instance}  {verdict}  restored in {one.rto:.1f} s, to {iso(one.restored_to)}")
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in one.phases.items())
    say(f"    {phases}")
    for trial in one.checks:
        mark = "ok  " if trial.passed else "FAIL"
        say(f"    {mark}  {plain(trial.name)}: {plain(trial.detail)}")
