"""`secrets scan`: the project's files searched for secrets, by our detectors and detect-secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from mngdb.checks import scan as rules
from mngdb.checks.strength import placeholder
from mngdb.errors import UsageError
from mngdb.findings import Finding
from mngdb.ops.check import Report
from mngdb.ops.context import Context
from mngdb.vaults import inspect, leaks
from mngdb.vaults.git import repository

#: A larger file is no text that a person wrote.
_MOST = 1 << 20
_FOLDERS = {".git", ".mngdb", ".venv", "venv", "node_modules", "__pycache__", ".tox", "vendor"}
#: Of detect-secrets; what goes by the look of letters alone finds a hundred for one.
_LEFT_OUT = {"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector"}
#: Kubernetes' and GitHub's ways to say which secret is meant.
_NAMING = re.compile(
    r"(?:existing_?-?secret|secret_?-?(?:name|ref|key|store))\w*[\"']?\s*[:=]|\bsecrets: inherit",
    re.IGNORECASE,
)
#: Files that are there to show a form.
_EXAMPLES = (".example", ".sample", ".template", ".dist", ".md", ".rst")


def scan(context: Context, paths: Sequence[Path]) -> Report:
    """Search files, or all in folders; none: the folder of the stack's file. Where that is in a
    repository, what git ignores is left out. Raises UsageError."""
    folder = context.stack.folder
    # the vault is where they belong; 'mngdb check' tells when git has it
    files = sorted(
        file
        for file in {file for path in paths or [folder] for file in _files(path)}
        if not file.is_relative_to(context.stack.state)
    )
    kept = inspect.kept(context.vault, context.known_secrets())
    needles = leaks.Needles.of(kept.secrets)
    findings: list[Finding] = []
    with _detectors():
        suspect, of_gitlab = _suspect(), _of_gitlab(files)
        for file in files:
            shown = str(file.relative_to(folder) if file.is_relative_to(folder) else file)
            findings += (_finding(hit, shown) for hit in _hits(file, needles, suspect, of_gitlab))
    found = {one.id for one in findings}
    clean = (rule for rule in rules.RULES.values() if rule.id not in found)
    findings += (_judged(rule, "", "pass", f"{len(files)} files") for rule in clean)
    return Report(tuple(findings))


def _finding(hit: rules.Hit, file: str) -> Finding:
    rule = rules.RULES[hit.rule]
    verdict = "unknown" if hit.rule in {"scan.ci-file", "scan.readable"} else "fail"
    return _judged(rule, f"{file}:{hit.line}", verdict, hit.what)


def _judged(rule: rules.Rule, place: str, verdict: str, evidence: str) -> Finding:
    return Finding(
        id=rule.id,
        instance=place,
        engine="scan",
        title=rule.title,
        severity=rule.severity,
        verdict=verdict,  # type: ignore[arg-type]
        evidence=evidence,
        expected="none",
        remedy=rule.remedy,
        sources=rule.sources,
    )


def _files(path: Path) -> Iterator[Path]:
    path = path.resolve()
    if not path.exists():
        raise UsageError(f"{path}: no such file or directory")
    if not path.is_dir():
        yield path
        return
    repo = repository(path)
    if repo is not None:
        yield from (file for file in repo.files() if file.is_file() and not file.is_symlink())
        return
    for where, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in _FOLDERS]
        for name in names:
            file = Path(where) / name
            if file.is_file() and not file.is_symlink():
                yield file


def _of_gitlab(files: Sequence[Path]) -> set[Path]:
    """GitLab's CI files: by their name, and what these include."""
    found = {file for file in files if fnmatchcase(file.name, "*.gitlab-ci.y*ml")}
    for file in list(found):
        with suppress(OSError):  # that it cannot be read is told where it is judged
            for pattern in rules.included(file.read_text(errors="replace")[:_MOST]):
                wanted = str(file.parent / pattern)
                found |= {one for one in files if fnmatchcase(str(one), wanted)}
    return found


def _hits(
    file: Path, needles: leaks.Needles, suspect: Callable[[str], bool], of_gitlab: set[Path]
) -> Iterator[rules.Hit]:
    try:
        with file.open("rb") as handle:
            raw = handle.read(_MOST + 1)
    except OSError as error:
        yield rules.Hit("scan.readable", 1, f"it cannot be read: {error.strerror}")
        return
    if len(raw) > _MOST or b"\0" in raw:
        return
    text = raw.decode("utf-8-sig", errors="replace")
    found = list(rules.lines(text))
    for number, line in enumerate(raw.split(b"\n") if needles.find(raw) else (), 1):
        found += (
            rules.Hit("scan.stack-secret", number, f"the secret {name}")
            for name in sorted(needles.find(line))
        )
    if fnmatchcase(str(file), "*/.github/workflows/*.y*ml"):
        found += rules.github(text)
    elif file in of_gitlab:
        found += rules.gitlab(text)
    told = {hit.line for hit in found}
    if suspect(text):
        found += (hit for hit in _detected(file, text) if hit.line not in told)
    allowed = {n for n, line in enumerate(text.splitlines(), 1) if rules.ALLOWED.search(line)}
    yield from sorted((hit for hit in found if hit.line not in allowed), key=lambda hit: hit.line)


@contextmanager
def _detectors() -> Iterator[None]:
    """detect-secrets with those of its detectors that we use. It asks nobody whether a key is
    valid."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.settings import transient_settings

    plugins: Mapping[str, type] = get_mapping_from_secret_type_to_class()
    names = {plugin.__name__ for plugin in plugins.values()}
    with transient_settings({"plugins_used": [{"name": one} for one in sorted(names - _LEFT_OUT)]}):
        yield


def _suspect() -> Callable[[str], bool]:
    """Whether detect-secrets may find something in a text. It goes line by line, which takes ten
    times as long as to look for all of its patterns in the whole."""
    from detect_secrets.plugins.keyword import DENYLIST, KeywordDetector
    from detect_secrets.settings import get_plugins

    patterns = [re.compile("|".join(DENYLIST), re.IGNORECASE)]
    for plugin in get_plugins():
        if not isinstance(plugin, KeywordDetector):
            patterns += (re.compile(one.pattern, one.flags | re.M) for one in plugin.denylist)

    def suspect(text: str) -> bool:
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        return any(pattern.search(lines) for pattern in patterns)

    return suspect


def _detected(file: Path, text: str) -> Iterator[rules.Hit]:
    """What detect-secrets says of a file."""
    from detect_secrets.core.scan import scan_file

    example = file.name.endswith(_EXAMPLES)
    lines = text.splitlines()
    for one in scan_file(str(file)):
        value = one.secret_value or ""
        if one.type == "Secret Keyword" and _NAMING.search(
            "".join(lines[one.line_number - 1 : one.line_number])
        ):
            continue
        if not (placeholder(value) and (example or not rules.given(value))):
            yield rules.Hit("scan.detected", one.line_number, one.type)
