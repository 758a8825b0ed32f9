"""check: the production guide, judged line by line on the live servers."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mngdb.cli.common import Options, common, say, say_json, table, tell
from mngdb.findings import SEVERITIES, Finding, Severity

_COLOURS = {"pass": "green", "fail": "red", "unknown": "yellow", "not_applicable": "bright_black"}
_WORDS = {"not_applicable": "n/a"}


@click.command()
@click.option("--only", multiple=True, metavar="ID", help="These checks; patterns too: 'redis.*'.")
@click.option(
    "--severity",
    type=click.Choice(SEVERITIES),
    default="low",
    help="This severity and worse. Default: all.",
)
@click.option("--all", "everything", is_flag=True, help="Show also what passes.")
@common
def check(options: Options, only: Sequence[str], severity: Severity, everything: bool) -> int:
    """Judge every line of the production guide on the live servers.

    Exits 0 only if nothing failed and nothing is unknown; 1: something failed; 3: something could
    not be observed.
    """
    from mngdb.ops.check import check as judge

    context = options.context()
    report = judge(context, only, severity)
    if options.json:
        say_json(report.as_json())
        return report.exit_code
    shown = [one for one in report.findings if everything or one.verdict in {"fail", "unknown"}]
    _table(shown)
    counted = report.as_json()["summary"]
    words = [f"{count} {_WORDS.get(name, name)}" for name, count in counted.items()]
    say(("\n" if shown else "") + ", ".join(words))
    if shown and not everything:
        tell("the rest passes or does not apply; --all shows it")
    return report.exit_code


def _table(findings: Sequence[Finding]) -> None:
    if not findings:
        return
    head = ("VERDICT", "SEVERITY", "INSTANCE", "CHECK", "FOUND")
    rows = [
        (_WORDS.get(one.verdict, one.verdict), one.severity, one.instance, one.id, one.evidence)
        for one in findings
    ]
    first, *lines = table(head, rows)
    say(first)
    for finding, line in zip(findings, lines, strict=True):
        word = _WORDS.get(finding.verdict, finding.verdict)
        say(click.style(word, fg=_COLOURS[finding.verdict]) + line[len(word) :])
        if finding.verdict == "fail":
            say(click.style(f"         {finding.title}: {finding.remedy}", dim=True))
