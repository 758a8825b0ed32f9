"""One HTML file that a manager can read: no script, no font, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as _escape

from mngdb.findings import CONTROLS, SEVERITIES, Finding, Verdict
from mngdb.words import plain

_ORDER: tuple[Verdict, ...] = ("fail", "unknown", "pass", "not_applicable")
_WORDS = {
    "fail": "failed",
    "unknown": "not known",
    "pass": "passed",
    "not_applicable": "does not apply",
}
_STYLE = """
:root { color-scheme: light dark; --line: #8883; --dim: #777; --fail: #c0271b; --unknown: #a66a00;
  --pass: #1a7f37; --card: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 2rem 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.dim { color: var(--dim); } .verdict { font-weight: 600; white-space: nowrap; }
.fail { color: var(--fail); } .unknown { color: var(--unknown); } .pass { color: var(--pass); }
.cards { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; padding: 0; }
.cards li { list-style: none; background: var(--card); border-radius: .5rem; padding: .6rem 1rem;
  min-width: 7rem; } .cards b { display: block; font-size: 1.7rem; line-height: 1.2; }
article { border: 1px solid var(--line); border-left: .3rem solid var(--fail);
  border-radius: .4rem; margin: .6rem 0; padding: .6rem 1rem; }
article.unknown-card { border-left-color: var(--unknown); }
article h3 { font-size: 1rem; margin: 0; }
dl { display: grid; grid-template-columns: 6rem 1fr; gap: .1rem .75rem; margin: .4rem 0 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } td, th { border-bottom: 1px solid var(--line);
  padding: .3rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 500; } code { font-size: .85em; }
summary { cursor: pointer; margin: .6rem 0; }
"""


def escape(text: str) -> str:
    """As HTML holds it: names on a server may have any character."""
    return _escape(plain(text))


def render(findings: Sequence[Finding], stack: str, when: str) -> str:
    """The page. `when` is the time of the look, as people write it."""
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
    if bad:
        body += ["<h2>What to do, the worst first</h2>", *map(_card, bad)]
    body += [
        f"<details{'' if bad else ' open'}><summary>What is in order, "
        f"and what does not apply ({len(rest)})</summary>",
        _table(rest),
        "</details>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(stack)}: production check</title><style>{_STYLE}</style></head>\n<body>"
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
