"""JUnit's XML, as CI servers show it: a suite for each instance, a case for each check."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from mngdb.findings import Finding


def render(findings: Sequence[Finding], stack: str) -> str:
    """The document. A failure is a failure, what is unknown an error, the rest passes or skips."""
    root = ElementTree.Element("testsuites", name=_clean(f"mngdb check {stack}"))
    suites: dict[str, list[Finding]] = {}
    for one in findings:
        suites.setdefault(one.instance or stack, []).append(one)
    for name, found in suites.items():
        counts = {
            "tests": len(found),
            "failures": sum(one.counts == "fail" for one in found),
            "errors": sum(one.counts == "unknown" for one in found),
            "skipped": sum(_skipped(one) for one in found),
        }
        suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(name)})
        for key, count in counts.items():
            suite.set(key, str(count))
        for one in found:
            _case(suite, one)
    ElementTree.indent(root)
    # bytes: as a text, it would declare this machine's encoding
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document.decode() + "\n"


def _skipped(one: Finding) -> bool:
    return one.verdict == "not_applicable" or bool(one.accepted)


def _case(suite: ElementTree.Element, one: Finding) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=_clean(one.engine), name=_clean(one.id)
    )
    text = f"{one.title}\nfound: {one.evidence}\nexpected: {one.expected}\nremedy: {one.remedy}"
    if _skipped(one):
        ElementTree.SubElement(case, "skipped", message=_clean(one.accepted or one.evidence))
    elif one.verdict == "fail":
        ElementTree.SubElement(
            case, "failure", message=_clean(one.evidence), type=one.severity
        ).text = _clean(text)
    elif one.verdict == "unknown":
        ElementTree.SubElement(
            case, "error", message=_clean(one.evidence), type="unknown"
        ).text = _clean(text)


def _clean(text: str) -> str:
    """Without what XML cannot hold: names on a server may have any character."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)
