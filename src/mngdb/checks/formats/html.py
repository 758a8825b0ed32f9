"""One HTML file that a manager can read: no script, no font, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape as _escape
from pathlib import Path

from mngdb import data
from mngdb.checks.controls import lists
from mngdb.checks.controls.report import Judged
from mngdb.findings import CONTROLS, SEVERITIES, Finding, Verdict
from mngdb.words import plain

_ORDER: tuple[Verdict, ...] = ("fail", "unknown", "pass", "not_applicable")
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
    titles: Mapping[str, str] | None = None,
) -> str:
    """The page. `when` is the time of the look, as people write it; `items` are those of control
    lists; `titles` are those of checks in that language, by their IDs."""
    return _Page(language, titles or {}).render(findings, stack, when, items)


def page(title: str, body: Sequence[str], language: str = "en") -> str:
    """The whole page."""
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = data.texts(__file__)
    return found


class _Page:
    """The report in one language."""

    def __init__(self, language: str, titles: Mapping[str, str]) -> None:
        self.language, self.titles, self.words = language, titles, _texts()[language]

    def render(
        self, findings: Sequence[Finding], stack: str, when: str, items: Sequence[Judged]
    ) -> str:
        words = self.words
        counts = {verdict: sum(one.counts == verdict for one in findings) for verdict in _ORDER}
        bad = sorted(
            (one for one in findings if one.counts in {"fail", "unknown"}),
            key=lambda one: (_ORDER.index(one.counts), SEVERITIES.index(one.severity)),
        )
        rest = [one for one in findings if one.counts not in {"fail", "unknown"}]
        cards = "".join(
            f'<li><b class="{verdict}">{counts[verdict]}</b>{words[verdict]}</li>'
            for verdict in _ORDER
        )
        intro = f"{self._intro(items)} {when}"
        body = [
            f"<h1>{escape(stack)}: {self._headline(counts)}</h1>",
            f'<p class="dim">{escape(intro)}</p>',
            f'<ul class="cards">{cards}</ul>',
        ]
        if items:
            body += [f"<h2>{words['items']}</h2>", self._items(items)]
        if bad:
            body += [f"<h2>{words['to_do']}</h2>", *map(self._card, bad)]
        body += [
            f"<details{'' if bad else ' open'}><summary>"
            f"{words['rest'].format(count=len(rest))}</summary>",
            self._table(rest),
            "</details>",
        ]
        return page(words["title"].format(stack=stack), body, self.language)

    def _intro(self, items: Sequence[Judged]) -> str:
        names = dict.fromkeys(one.list for one in items)
        titles = ", ".join(lists()[name].title[self.language] for name in names)
        return self.words["intro_lists" if items else "intro"].format(titles=titles)

    def _headline(self, counts: Mapping[Verdict, int]) -> str:
        failed, unknown = counts["fail"], counts["unknown"]
        parts = [self.words["failed"]] if failed else []
        parts += [self.words["unseen"]] if unknown else []
        said = ", ".join(parts) or self.words["good"]
        return said.format(failed=failed, unknown=unknown, all=sum(counts.values()))

    def _card(self, one: Finding) -> str:
        words = self.words
        rows = [
            (words["found"], one.evidence),
            (words["expected"], one.expected),
            (words["remedy"], one.remedy),
            (words["sources"], f"{'; '.join(one.sources)} ({CONTROLS})"),
        ]
        listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows)
        title = f"{escape(self._where(one))}: {escape(self._title(one))}"
        kind = " class='unknown-card'" if one.verdict == "unknown" else ""
        return (
            f'<article{kind}><h3><span class="verdict {one.verdict}">{words[one.verdict]}, '
            f"{words[one.severity]}</span> · {title} "
            f'<code class="dim">{escape(one.id)}</code></h3><dl>{listed}</dl></article>'
        )

    def _items(self, items: Sequence[Judged]) -> str:
        other = "ko" if self.language == "en" else "en"
        rows = "".join(
            f'<tr><td class="verdict {one.verdict}">{self.words[one.verdict]}</td>'
            f'<td class="id">{escape(one.item.id)}</td>'
            f"<td>{escape(one.item.title[self.language])}"
            f"<br><span class='dim'>{escape(one.item.title[other])}</span></td>"
            f"<td>{escape(one.found(self.language))}</td></tr>"
            for one in items
        )
        return self._rows(("item", "name", "found"), rows)

    def _table(self, findings: Sequence[Finding]) -> str:
        rows = "".join(
            f'<tr><td class="verdict {one.counts}">'
            f"{self.words['accepted' if one.accepted else one.verdict]}</td>"
            f"<td>{escape(self._where(one))}</td>"
            f"<td>{escape(self._title(one))}<br><code class='dim'>{escape(one.id)}</code></td>"
            f"<td>{escape(one.accepted or one.evidence)}</td></tr>"
            for one in findings
        )
        return self._rows(("where", "check", "found"), rows)

    def _rows(self, head: Sequence[str], rows: str) -> str:
        names = "".join(f"<th>{self.words[one]}</th>" for one in head)
        return f"<table><tr><th></th>{names}</tr>{rows}</table>"

    def _where(self, one: Finding) -> str:
        return one.instance or self.words[one.where]

    def _title(self, one: Finding) -> str:
        return self.titles.get(one.id, one.title)
