"""check: the live servers against the production guide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from mngdb.cli.common import Options, common, in_full, say, say_json, tell
from mngdb.cli.layout import headed, table
from mngdb.findings import CONTROLS, SEVERITIES, Finding, Severity
from mngdb.words import harmless_json, plain

if TYPE_CHECKING:
    from mngdb.checks.controls.report import Judged
    from mngdb.ops.check import Report
    from mngdb.ops.context import Context

_COLOURS = {"pass": "green", "fail": "red", "unknown": "yellow", "not_applicable": "bright_black"}
_WORDS = {"not_applicable": "n/a"}
_FORMATS = ("table", "json", "sarif", "junit", "html")


def _complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    from mngdb.checks import registry

    return [
        CompletionItem(one.id, help=one.title)
        for one in registry.every()
        if one.id.startswith(begun)
    ]


@click.command()
@click.option(
    "--only",
    multiple=True,
    metavar="ID",
    shell_complete=_complete,
    help="Run only these checks; patterns are allowed: 'redis.*'.",
)
@click.option(
    "--severity",
    type=click.Choice(SEVERITIES),
    default="low",
    help="Run only checks of this severity and higher. Default: all.",
)
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="NAME",
    help="Run only checks of this control: a requirement (B13), 'guide: Redis 1', or a list, which "
    "is reported item by item: kisa, kisa-cloud, isms-p, cis, 'guide: checklist'.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of accepted findings, each with a reason and an expiry date.",
)
@click.option("--all", "everything", is_flag=True, help="Also show checks that pass.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), help="Output format. Default: table."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the report to this file ('-': standard output), and print a summary.",
)
@click.option(
    "--language",
    type=click.Choice(("en", "ko")),
    default="en",
    help="Language of the items of a control list, and of the HTML report. Default: en.",
)
@click.option("--fix", is_flag=True, help="First run 'up', to fix what the file controls.")
@click.option("--list", "list_them", is_flag=True, help="List the checks without running them.")
@common
def check(
    options: Options,
    only: Sequence[str],
    severity: Severity,
    controls: Sequence[str],
    baseline: Path | None,
    everything: bool,
    form: str | None,
    output: Path | None,
    language: str,
    fix: bool,
    list_them: bool,
) -> int:
    """Check the live servers against the production guide, line by line.

    Exits 0 only if nothing failed and nothing is unknown, 1 if a check failed, 3 if something could
    not be observed. docs/controls.md explains the controls.
    """
    from mngdb.ops.check import check as judge
    from mngdb.spec.baseline import read

    if list_them:
        _list(options, only, severity, controls)
        return 0
    accepted = read(baseline) if baseline else []
    if output is not None:
        output = _output(output)
    context = options.context()
    if fix:
        _fix(context)
    report = judge(context, only, severity, controls, accepted)
    form = form or ("json" if options.json else "table")
    if form == "table" and output is None:
        show_items(report.items, language)
        show_table(
            [one for one in report.findings if everything or one.counts in {"fail", "unknown"}]
        )
    else:
        _give(_document(context, report, form, everything, language), output)
    for notice in report.notices:
        tell(notice)
    if form == "table" or output is not None:
        shown = {one.counts for one in report.findings} - {"fail", "unknown"}
        (say if form == "table" and output is None else tell)(summary(report))
        if shown and not everything and form == "table":
            tell("--all also shows checks that pass")
    return report.exit_code


def _list(
    options: Options, only: Sequence[str], severity: Severity, controls: Sequence[str]
) -> None:
    """Which checks there are; needs no file."""
    from mngdb.ops.check import listed

    found = listed(only, severity, controls)
    if options.json:
        say_json({"checks": [one.as_json() for one in found]})
        return
    rows = [(one.severity, one.id, one.title, "; ".join(one.sources)) for one in found]
    for line in table(("SEVERITY", "CHECK", "PASSES WHEN", "CONTROLS"), rows):
        say(line)
    tell(f"controls are {CONTROLS}")


def _fix(context: Context) -> None:
    """Fix what the file controls by the steps of `up`, each shown when it is done."""
    from mngdb.errors import MngdbError
    from mngdb.events import Done
    from mngdb.ops.up import up

    def show(event: object) -> None:
        if isinstance(event, Done):
            word = "failed" if event.error else "fixed"
            tell(f"{word}: {event.step.action} {event.step.object} ({event.step.detail})")

    report = up(context, frozenset(), show)
    for step in report.refused:
        tell(f"not done, destructive: {step.action} {step.object}; 'mngdb up --allow' allows it")
    if not report.done and not report.errors:
        tell("nothing to fix: the servers match the file")
    for error in report.errors.values():
        raise MngdbError(error.message, error.hint)


def _document(
    context: Context, report: Report, form: str, everything: bool, language: str
) -> Iterator[str]:
    """The report in a format, in pieces: that of a thousand servers is large as JSON."""
    if form == "json":
        import json
        from itertools import islice

        pieces = json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(report.as_json())
        yield from iter(lambda: harmless_json("".join(islice(pieces, 4096))), "")
        yield "\n"
        return
    yield _whole(context, report, form, everything, language)


def _whole(context: Context, report: Report, form: str, everything: bool, language: str) -> str:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    from mngdb import __version__
    from mngdb.checks.formats import html, junit, sarif
    from mngdb.ops.runbooks import korean

    name, findings = context.stack.name, report.findings
    if form == "sarif":
        return sarif.render(findings, name, __version__, _uri(context.stack.files[0]))
    if form == "junit":
        return junit.render(findings, name)
    if form == "html":
        named = context.stack.source.timezone
        zone = UTC if named == "UTC" else ZoneInfo(named)
        when = f"{datetime.now(tz=zone):%Y-%m-%d %H:%M %Z}"
        titles = korean.titles() if language == "ko" else None
        return html.render(findings, name, when, report.items, language, titles)
    shown = [one for one in findings if everything or one.counts in {"fail", "unknown"}]
    return "\n".join([*_items(report.items, language, fit=False), *_lines(shown, fit=False)]) + "\n"


def _uri(file: Path) -> str:
    """As code scanning wants it: relative where that can be, each letter as a URI has it."""
    from urllib.parse import quote

    path = file.resolve()
    return (
        quote(str(path.relative_to(Path.cwd())))
        if path.is_relative_to(Path.cwd())
        else path.as_uri()
    )


#: Standard output, and what a shell made of `>(…)`: open already, and no file to be replaced.
_STREAMS = re.compile(r"/dev/(stdout|stderr|null|fd/\d+)")


def _output(path: Path) -> Path:
    """Where the report goes, before the servers are asked. Raises UsageError."""
    from mngdb import disk
    from mngdb.errors import UsageError

    if str(path) == "-":
        return Path("/dev/stdout")
    if _STREAMS.fullmatch(str(path)):
        return path
    if not path.parent.is_dir():
        raise UsageError(f"{path}: no directory {path.parent}")
    return disk.replaceable(path)


def _give(pieces: Iterator[str], output: Path | None) -> None:
    from mngdb import disk
    from mngdb.errors import UsageError

    if output is None or str(output) == "/dev/stdout":
        for piece in pieces:
            click.echo(piece, nl=False)
        return
    try:
        if _STREAMS.fullmatch(str(output)):
            with output.open("w", encoding="utf-8") as file:
                file.writelines(pieces)
        else:
            disk.write(disk.replaceable(output), pieces, mode=0o644, durable=False)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from None


def summary(report: Report) -> str:
    """How many of each verdict."""
    counted = report.as_json()["summary"]
    words = [f"{count} {_WORDS.get(name, name)}" for name, count in counted.items()]
    accepted = sum(bool(one.accepted) for one in report.findings)
    return ", ".join(words) + (f"; {accepted} of them accepted by the baseline" if accepted else "")


def show_items(items: Sequence[Judged], language: str) -> None:
    """The items of control lists for people."""
    for line in _items(items, language):
        say(line)
    if items:
        say()


def _items(items: Sequence[Judged], language: str, *, fit: bool = True) -> list[str]:
    """As `table` makes them; for a terminal with `fit`."""
    if not items:
        return []
    rows = [
        (
            _WORDS.get(one.verdict, one.verdict),
            one.item.id,
            one.item.title[language],
            in_full(one.found(language)),
        )
        for one in items
    ]
    shown, lines = headed(("VERDICT", "ITEM", "TITLE", "FOUND"), rows, fit=fit)
    for one, line in zip(items, lines, strict=True):
        word = _WORDS.get(one.verdict, one.verdict)
        shown.append(click.style(word, fg=_COLOURS[one.verdict]) + line[len(word) :])
    return shown


def show_table(findings: Sequence[Finding]) -> None:
    """Findings for people."""
    for line in _lines(findings):
        say(line)
    if findings:
        say()


def _lines(findings: Sequence[Finding], *, fit: bool = True) -> list[str]:
    if not findings:
        return []
    head = ("VERDICT", "SEVERITY", "INSTANCE", "CHECK", "FOUND")
    rows = [
        (
            _WORDS.get(one.verdict, one.verdict),
            one.severity,
            one.where,
            one.id,
            in_full(one.evidence),
        )
        for one in findings
    ]
    shown, lines = headed(head, rows, fit=fit)
    for one, line in zip(findings, lines, strict=True):
        word = _WORDS.get(one.verdict, one.verdict)
        shown.append(click.style(word, fg=_COLOURS[one.verdict]) + line[len(word) :])
        if one.accepted:
            shown.append(click.style(f"    accepted: {one.accepted}", dim=True))
        elif one.verdict == "fail":
            remedy = in_full(plain(one.remedy))
            shown.append(click.style(f"    {one.title}: {remedy}", dim=True))
    return shown
