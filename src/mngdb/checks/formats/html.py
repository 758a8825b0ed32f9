"""One HTML file that a manager can read: no script, no font, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as _escape
from pathlib import Path

from mngdb.checks.controls.report import Judged
from mngdb.findings import CONTROLS, SEVERITIES, Finding, Verdict
from mngdb.words import plain

_ORDER: tuple[Verdict, ...] = ("fail", "unknown", "pass", "not_applicable")
_WORDS = {
    "fail": "failed",
    "unknown": "not known",
    "pass": "passed",
    "not_applicable": "does not apply",
}
_STYLE = Path(__file__).with_suffix(".css").read_text("utf-8")


def escape(text: str) -> str:
    """As HTML holds it: names on a server may have any character."""
    return _escape(plain(text))


def render(
    findings: Sequence[Finding],
    stack: str,
    when: str,
    items: Sequence[Judged] = (),
    language: str = "en",
) -> str:
    """The page. `when` is the time of the look, as people write it; `items` are those of control
    lists."""
    counts = {verdict: sum(one.counts == verdict for one in findings) for verdict in _ORDER}
    bad = sorted(
        (one for one in findings if one.counts in {"fail", "unknown"}),
        key=lambda one: (_ORDER.index(one.counts), SEVERITIES.index(one.severity)),
    )
    rest = [one for one in findings if one.counts not in {"fail", "unknown"}]
    cards = "".join(
        f'<li><b class="{verdict}">{counts[verdict]}</b>{_WORDS[verdict]}</li>'
        for verdict in _ORDER
    )
    body = [
        f"<h1>{escape(stack)}: {_headline(counts)}</h1>",
        f'<p class="dim">Every line of the production guide, looked at on the live servers. '
        f"{escape(when)}</p>",
        f'<ul class="cards">{cards}</ul>',
    ]
    if items:
        body += ["<h2>Item by item</h2>", _items(items, language)]
    if bad:
        body += ["<h2>What to do, the worst first</h2>", *map(_card, bad)]
    body += [
        f"<details{'' if bad else ' open'}><summary>What is in order, "
        f"and what does not apply ({len(rest)})</summary>",
        _table(rest),
        "</details>",
    ]
    return page(f"{stack}: production check", body)


def page(title: str, body: Sequence[str]) -> str:
    """The whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _headline(counts: dict[Verdict, int]) -> str:
    failed, unknown = counts["fail"], counts["unknown"]
    if not failed and not unknown:
        return "all is in order"
    parts = [f"{failed} of {sum(counts.values())} checks failed"] if failed else []
    parts += [f"{unknown} could not be looked at"] if unknown else []
    return ", ".join(parts)


def _card(one: Finding) -> str:
    rows = [("Found", one.evidence), ("Expected", one.expected), ("To do", one.remedy)]
    rows += [("Sources", f"{'; '.join(one.sources)} ({CONTROLS})")]
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    kind = " class='unknown-card'" if one.verdict == "unknown" else ""
    return (
        f'<article{kind}><h3><span class="verdict {one.verdict}">{_WORDS[one.verdict]}, '
        f"{one.severity}</span> · {escape(one.where)}: {escape(one.title)} "
        f'<code class="dim">{escape(one.id)}</code></h3><dl>{listed}</dl></article>'
    )


def _items(items: Sequence[Judged], language: str) -> str:
    other = "ko" if language == "en" else "en"
    rows = "".join(
        f'<tr><td class="verdict {one.verdict}">{_WORDS[one.verdict]}</td>'
        f"<td>{escape(one.item.id)}</td><td>{escape(one.item.title[language])}"
        f"<br><span class='dim'>{escape(one.item.title[other])}</span></td>"
        f"<td>{escape(one.found(language))}</td></tr>"
        for one in items
    )
    return f"<table><tr><th></th><th>Item</th><th>Title</th><th>Found</th></tr>{rows}</table>"


def _table(findings: Sequence[Finding]) -> str:
    rows = "".join(
        f'<tr><td class="verdict {one.counts}">{_word(one)}</td><td>{escape(one.where)}</td>'
        f"<td>{escape(one.title)}<br><code class='dim'>{escape(one.id)}</code></td>"
        f"<td>{escape(one.accepted or one.evidence)}</td></tr>"
        for one in findings
    )
    return f"<table><tr><th></th><th>Where</th><th>What</th><th>Found</th></tr>{rows}</table>"


def _word(one: Finding) -> str:
    return "accepted" if one.accepted else _WORDS[one.verdict]
