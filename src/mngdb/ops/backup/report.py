"""A drill's report: one page for people, and the same for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mngdb.checks.formats.html import escape, page
from mngdb.ops.backup import chain
from mngdb.ops.backup.drill import Drill
from mngdb.ops.backup.history import iso

#: Colours that the style has for phases.
_COLOURS = 6


def document(stack: str, drills: Sequence[Drill], public_key: str) -> dict[str, Any]:
    """For programs: as `drill --json`, with the lines of the history and what they are verified
    with."""
    return {
        "stack": stack,
        "drills": [one.as_json() for one in drills],
        "records": [one.record for one in drills],
        "public_key": public_key,
    }


def render(
    stack: str, drills: Sequence[Drill], public_key: str, left_out: Sequence[str] = ()
) -> str:
    """The page. `left_out`: instances that were not drilled."""
    failed = [one for one in drills if one.verdict == "fail"]
    counts = (
        ("pass", str(len(drills) - len(failed)), "passed"),
        ("fail" if failed else "", str(len(failed)), "failed"),
        ("", _span(max(one.rto for one in drills)), "longest recovery time"),
        ("", _span(max(one.rpo for one in drills)), "longest recovery point"),
    )
    cards = "".join(f'<li><b class="{kind}">{text}</b>{what}</li>' for kind, text, what in counts)
    told = f"{len(failed)} of {len(drills)} restores failed" if failed else _worked(drills)
    others = f" Not restored: {', '.join(left_out)}." if left_out else ""
    body = [
        f"<h1>{escape(stack)}: {told}</h1>",
        f'<p class="dim">Backups restored into disposable servers, and tried there.'
        f"{escape(others)} {iso(drills[0].at)}, {escape(drills[0].tool)}, "
        f"{escape(drills[0].machine)}</p>",
        f'<ul class="cards">{cards}</ul>',
        *map(_card, drills),
        _signed(drills, public_key),
    ]
    return page(f"{stack}: restore drill", body)


def _worked(drills: Sequence[Drill]) -> str:
    names = ", ".join(one.instance for one in drills)
    return f"the restore of {names} worked" if len(drills) == 1 else f"restores of {names} worked"


def _card(one: Drill) -> str:
    passed = one.verdict == "pass"
    worked = ", until every app could work" if passed else ", until it failed"
    rows = [
        ("Server", one.version),
        ("Snapshot", one.snapshot),
        ("Restored to", iso(one.restored_to)),
        ("Recovery time", _span(one.rto) + worked),
        ("Recovery point", f"{_span(one.rpo)} of writes could not have been brought back"),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    word, kind = ("passed", ' class="pass-card"') if passed else ("failed", "")
    trials = "".join(
        f'<tr><td class="verdict {"pass" if trial.passed else "fail"}">'
        f"{'passed' if trial.passed else 'failed'}</td><td>{escape(trial.name)}</td>"
        f"<td>{escape(trial.detail)}</td></tr>"
        for trial in sorted(one.checks, key=lambda trial: trial.passed)
    )
    return (
        f'<article{kind}><h3><span class="verdict {one.verdict}">{word}</span> · '
        f"{escape(one.instance)}</h3>{_bar(one)}<dl class='wide'>{listed}</dl>"
        f"<table><tr><th></th><th>Tried</th><th>Found</th></tr>{trials}</table></article>"
    )


def _bar(one: Drill) -> str:
    """The phases: how long each took, to scale."""
    phases = list(enumerate(one.phases.items()))
    parts = "".join(
        f'<i class="p{number % _COLOURS}" style="flex: {seconds:.4f}"></i>'
        for number, (_, seconds) in phases
    )
    legend = "".join(
        f'<li class="p{number % _COLOURS}">{escape(name)} {_span(seconds)}</li>'
        for number, (name, seconds) in phases
    )
    return f'<div class="bar">{parts}</div><ul class="legend">{legend}</ul>'


def _signed(drills: Sequence[Drill], public_key: str) -> str:
    digests = "\n".join(
        f"{chain.digest(one.record.encode(errors='surrogateescape'))}  {one.instance}"
        for one in drills
    )
    return (
        "<details><summary>Signature</summary><p class='dim'>SHA-256 of each drill's line in the "
        "stack's history, and the key that signs it. 'mngdb drill --history' says whether that "
        f"history is whole.</p><pre>{_lines(digests)}\n{_lines(public_key)}</pre>"
        "</details>"
    )


def _lines(text: str) -> str:
    """As HTML holds it, line by line."""
    return "\n".join(map(escape, text.split("\n")))


def _span(seconds: float) -> str:
    """Seconds, as people read them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
