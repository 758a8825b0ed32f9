"""keys: where the memory of Redis' keys goes."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from mngdb.cli.common import Options, common, say, say_json, seconds, tell
from mngdb.cli.layout import table, terminal

if TYPE_CHECKING:
    from mngdb.facts.keys import Amount, KeysReport

#: Seconds between two lines of progress, on a terminal and in a log.
_REDRAW, _LINE = 0.2, 5.0
#: Columns of that line.
_PROGRESS = 70


def _share(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """A share as people write it: 10%."""
    if value is None:
        return None
    try:
        share = float(value.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not value.endswith("%") or not 0 < share <= 1:
        raise click.BadParameter(
            f"{value!r} is not a percentage from above 0% to 100%, such as 10%"
        )
    return share


def _sample(
    context: click.Context, option: click.Parameter, value: str | None
) -> int | float | None:
    """A number of keys, or a share of them."""
    if value is None or value.endswith("%"):
        return _share(context, option, value)
    if not value.isdecimal() or int(value) == 0:
        raise click.BadParameter(f"{value!r} is not a number of keys, or a percentage such as 5%")
    return int(value)


@click.command()
@click.argument("instance", required=False)
@click.option("--db", "database", type=click.IntRange(0), help="Only this database. Default: all.")
@click.option(
    "--sample",
    callback=_sample,
    metavar="N|P%",
    help="Look at this many keys only, and show the margin of error.",
)
@click.option(
    "--budget", callback=_share, metavar="P%", help="Use at most this share of the server's time."
)
@click.option(
    "--exact",
    is_flag=True,
    help="Read expiry and idle time of every key, not of 200,000 only.",
)
@click.option(
    "--idle",
    callback=seconds,
    metavar="DURATION",
    default="7d",
    help="Time after which an unused key is idle. Default: 7d.",
)
@click.option(
    "--top",
    type=click.IntRange(1, 16),
    default=5,
    help="Number of biggest keys to list for each type.",
)
@click.option("--patterns", type=click.IntRange(1), default=40, help="Number of patterns to list.")
@click.option(
    "--rdb",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read this RDB file instead of a server.",
)
@common
def keys(
    options: Options,
    instance: str | None,
    database: int | None,
    sample: int | float | None,
    budget: float | None,
    exact: bool,
    idle: float,
    top: int,
    patterns: int,
    rdb: Path | None,
) -> int:
    """Show the memory use of a Redis by key pattern, and its biggest keys.

    INSTANCE can be omitted if the file has one Redis. Ctrl-C shows the results so far.
    """
    from mngdb.facts.keys import Wanted
    from mngdb.ops.keys import file_keys, live_keys

    wanted = Wanted(
        database=database, sample=sample, budget=budget, idle_after=idle, top=top, patterns=patterns
    )
    if exact:
        wanted = replace(wanted, lives=None)
    if rdb is not None and (instance or sample or budget):
        raise click.UsageError("--rdb cannot be used with INSTANCE, --sample or --budget")
    progress = _Progress()
    try:
        if rdb is not None:
            report = file_keys(rdb, wanted, progress)
        else:
            report = live_keys(options.context(), instance, wanted, progress)
    finally:
        progress.end()
    if options.json:
        say_json(report.as_json())
    else:
        _show(report)
    if not report.complete:
        tell(f"interrupted: results are for {report.seen:,} of {report.expected:,} keys")
    return 0 if report.complete else 130


class _Progress:
    """A line on standard error: one that is redrawn on a terminal, now and then one in a log."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + (_REDRAW if self._terminal else _LINE)
        self._drawn = False

    def __call__(self, seen: int, whole: int, seconds: float) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_REDRAW if self._terminal else _LINE)
        share = min(1.0, seen / whole) if whole else 1.0
        left = seconds / share - seconds if share else 0
        text = f"{seen:,} of {whole:,} keys ({share:.0%}), {left:.0f} s left"
        if self._terminal:
            self._draw(text)
            self._drawn = True
        else:
            tell(text)

    def end(self) -> None:
        """Leave the line empty."""
        if self._drawn:
            self._draw("")
            click.echo("\r", err=True, nl=False)

    @staticmethod
    def _draw(text: str) -> None:
        # a line that breaks could not be drawn over
        most = min(_PROGRESS, (terminal(sys.stderr) or _PROGRESS) - 1)
        click.echo(f"\r{text[:most]:<{most}}", err=True, nl=False)


def _show(report: KeysReport) -> None:
    from datetime import timedelta

    from mngdb.spec.units import format_duration

    say(_sentence(report))
    age = format_duration(timedelta(seconds=report.idle_after))
    for title, part in (
        ("without expiry", report.forever),
        (f"idle for {age} or longer", report.idle),
    ):
        if part is not None:
            say(f"  {title}: {_keys(part)}{_part(part, report.total)}, {_size(part)}")
    say()
    if report.patterns:
        head = ("PATTERN", "KEYS", "BYTES", "SHARE", "MEAN", "TYPES", "NO EXPIRY", "IDLE")
        rows = [
            (
                one.pattern,
                _number(one.all),
                _size(one.all),
                f"{one.share:.1%}",
                _bytes(one.all.bytes / one.all.count) if one.all.count else "-",
                ",".join(one.types),
                _number(one.forever) if one.forever else "-",
                _number(one.idle) if one.idle else "-",
            )
            for one in report.patterns
        ]
        for line in table(head, rows):
            say(line)
        count, rest = report.rest
        if count:
            say(f"and {count:,} more patterns: {_keys(rest)}, {_size(rest)}")
        say()
    if report.biggest:
        biggest = [
            (
                one.type,
                f"{_bytes(one.bytes)}{_error(one.bytes_error)}",
                "-" if one.elements is None else f"{one.elements:,}",
                str(one.database),
                one.key,
            )
            for one in report.biggest
        ]
        for line in table(("BIGGEST", "BYTES", "ELEMENTS", "DB", "KEY"), biggest):
            say(line)
    for notice in report.notices:
        tell(notice)


def _sentence(report: KeysReport) -> str:
    take = "takes" if report.total.count == 1 else "take"
    text = f"{report.source}: {_keys(report.total)} {take} {_size(report.total)}"
    if report.used_memory:
        text += f" of the {_bytes(report.used_memory)} that the server uses"
    if report.sampled:
        text += f"; a sample of {report.seen:,} keys, ± at 95 % confidence"
    if not report.complete:
        text += f"; partial: {report.seen:,} of {report.expected:,} keys"
    text += f" ({report.seconds:.1f} s"
    if report.server_seconds is not None:
        text += f", {report.server_seconds:.1f} s of the server's"
    return text + ")"


def _part(part: Amount, whole: Amount) -> str:
    if not whole.count:
        return ""
    error = f" ± {part.count_error / whole.count:.1%}" if part.count_error else ""
    return f" ({part.count / whole.count:.1%}{error})"


def _number(part: Amount) -> str:
    return f"{part.count:,}" + (f" ± {part.count_error:,}" if part.count_error else "")


def _keys(part: Amount) -> str:
    return f"{_number(part)} {'key' if part.count == 1 else 'keys'}"


def _size(part: Amount) -> str:
    return _bytes(part.bytes) + _error(part.bytes_error)


def _error(size: int) -> str:
    return f" ± {_bytes(size)}" if size else ""


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
