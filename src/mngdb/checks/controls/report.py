"""Findings by the items of control lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from mngdb.checks.controls import ControlList, Item, lists
from mngdb.findings import Finding, Verdict

#: What decides the verdict on an item, the worst first.
_ORDER: tuple[Verdict, ...] = ("fail", "unknown", "pass")
#: Of an item that none of the judged checks is about.
_NONE = {"en": "no check applies here", "ko": "해당하는 점검이 없습니다"}
#: Of one of which none applies, with the reason of a check.
_HERE = {"en": "{}", "ko": "이 구성에는 해당하지 않습니다({})"}
#: Of an item that passes, for the instances of which nothing was judged.
_APART = {"en": "; not judged: {}", "ko": "; 점검 제외: {}"}
#: Checks that are named where all of them pass.
_SHOWN = 3


class Judged(Struct, frozen=True):
    """The verdict on an item, and the findings that it rests on."""

    list: str
    item: Item
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of its findings; not applicable, where there are none that apply."""
        counted = {one.counts for one in self.findings}
        return next((one for one in _ORDER if one in counted), "not_applicable")

    def found(self, language: str) -> str:
        """What the verdict rests on, in words."""
        worst = [one for one in self.findings if one.counts == self.verdict]
        names = list(dict.fromkeys(one.id for one in worst))
        note = self.item.note.get(language, "")
        if self.verdict in {"fail", "unknown"}:
            return ", ".join(names)
        if self.verdict == "pass":
            said = ", ".join(names[:_SHOWN])
            said += f", +{len(names) - _SHOWN}" if len(names) > _SHOWN else ""
            apart = ", ".join(self._apart())
            said += _APART[language].format(apart) if apart else ""
            return f"{said} ({note})" if note else said
        why = next((one.evidence for one in worst), "")
        return note or (_HERE[language].format(why) if why else _NONE[language])

    def _apart(self) -> tuple[str, ...]:
        """The instances of which no check was judged, while others pass."""
        judged = {one.instance for one in self.findings if one.verdict != "not_applicable"}
        return tuple(sorted({one.instance for one in self.findings if one.instance} - judged))

    def as_json(self) -> dict[str, Any]:
        """The item as `check --json` shows it."""
        return {
            "list": self.list,
            "item": self.item.id,
            "title": dict(self.item.title),
            "verdict": self.verdict,
            **({"note": dict(self.item.note)} if self.item.note else {}),
            "checks": list(dict.fromkeys(one.id for one in self.findings)),
        }


def by_item(findings: Sequence[Finding], controls: Sequence[str]) -> tuple[Judged, ...]:
    """The items that `controls` name: of a whole list (`kisa`), or one (`kisa: D-01`)."""
    found: list[Judged] = []
    for control in controls:
        for one in lists().values():
            for item, mine in _items(one, findings):
                if control in {one.name, f"{one.name}: {item.id}"}:
                    found.append(Judged(one.name, item, tuple(mine)))
    return tuple(found)


def _items(one: ControlList, findings: Sequence[Finding]) -> list[tuple[Item, list[Finding]]]:
    found = [(item, [f for f in findings if item.has(f.id)]) for item in one.items]
    named: dict[str, list[Finding]] = {}
    for finding in findings:
        for source in finding.sources:
            if item := one.under(source):
                named.setdefault(item, []).append(finding)
    for id in sorted(named, key=_by_number):
        titles = "; ".join(dict.fromkeys(f.title for f in named[id]))
        found.append((Item(id, _same(titles)), named[id]))
    return found


def _same(title: str) -> Mapping[str, str]:
    """A title that there is in English alone."""
    return {"en": title, "ko": title}


def _by_number(item: str) -> tuple[str, list[int]]:
    name, _, number = item.rpartition(" ")
    return name, [int(part) for part in number.split(".") if part.isdecimal()]
