"""`secrets scan`: the project's files searched for secrets, by our detectors and detect-secrets."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mngdb.checks import scan as rules
from mngdb.checks import scan_ci
from mngdb.data import texts
from mngdb.errors import UsageError
from mngdb.findings import Finding
from mngdb.literals import Kind, finders, is_code, kind, literal, suspects
from mngdb.ops.check import Report
from mngdb.ops.context import Context
from mngdb.vaults import inspect, leaks
from mngdb.vaults.git import repository

#: A larger file is no text that a person wrote.
_MOST = 1 << 20
_FOLDERS = {".git", ".mngdb", ".venv", "venv", "node_modules", "__pycache__", ".tox", "vendor"}
#: Detectors of detect-secrets by name, and what stands before what they find.
_DETECTORS: dict[str, list[str]] = texts(__file__)
#: By a letter, what is in every text that has any of the words with it.
_BEFORE = finders(word for words in _DETECTORS.values() for word in words)
#: These go by a variable's name, which says nothing in what a program made. The value's form is
#: found in a hundredth of the time of their own patterns.
_NAMED = {"IbmCloudIamDetector": r"[\w-]{44}", "IbmCosHmacDetector": r"[a-fA-F\d]{48}"}
#: Of these, documentation and tests have examples.
_EXAMPLES = {"JSON Web Token"}
_SHOWN = {Kind.SHOWN, Kind.MADE}
#: The lines of a private key, after its first.
_KEY = re.compile(r"PRIVATE KEY(?: BLOCK)?-----[\s\"'\\nr+,]+[A-Za-z0-9+/=:, -]{16}|PuTTY-User-Key")


def scan(context: Context, paths: Sequence[Path]) -> Report:
    """Search files, or all in folders; none: the folder of the stack's file. Where that is in a
    repository, what git ignores is left out. Raises UsageError."""
    folder = context.stack.folder
    # the vault is where they belong; 'mngdb check' tells when git has it
    state = f"{context.stack.state}/"
    every = {file for path in paths or [folder] for file in _files(path)}
    files = sorted(
        (file for file in every if not str(file).startswith(state)), key=lambda file: file.parts
    )
    kept = inspect.kept(context.vault, context.known_secrets())
    needles = leaks.Needles.of(kept.secrets)
    findings: list[Finding] = []
    look = _Look(needles, _detectors(), _of_gitlab(files), [*(paths or [folder])])
    for file in files:
        findings += (_finding(hit, file, folder) for hit in look.at(file))
    found = {one.id for one in findings}
    clean = (rule for rule in rules.RULES.values() if rule.id not in found)
    findings += (_judged(rule, "", "pass", f"{len(files)} files") for rule in clean)
    return Report(tuple(findings))


def _finding(hit: rules.Hit, file: Path, folder: Path) -> Finding:
    rule = rules.RULES[hit.rule]
    shown = file.relative_to(folder) if file.is_relative_to(folder) else file
    verdict = "unknown" if hit.rule in {"scan.ci-file", "scan.readable"} else "fail"
    return _judged(rule, f"{shown}:{hit.line}", verdict, hit.what)


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
        yield from filter(_plain, repo.files())
        return
    for where, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in _FOLDERS]
        for name in names:
            file = Path(where) / name
            if _plain(file):
                yield file


def _plain(file: Path) -> bool:
    """Whether it is a file itself, no link to one."""
    try:
        return stat.S_ISREG(file.lstat().st_mode)
    except OSError:
        return False


def _of_gitlab(files: Sequence[Path]) -> set[Path]:
    """GitLab's CI files: by their name, and what these include."""
    found = {file for file in files if fnmatchcase(file.name, "*.gitlab-ci.y*ml")}
    for file in list(found):
        with suppress(OSError):  # that it cannot be read is told where it is judged
            for pattern in scan_ci.included(file.read_text(errors="replace")[:_MOST]):
                wanted = str(file.parent / pattern)
                found |= {one for one in files if fnmatchcase(str(one), wanted)}
    return found


class _Look:
    """What is looked for, and what is found in a file."""

    def __init__(
        self,
        needles: leaks.Needles,
        detectors: Mapping[str, tuple[Any, tuple[re.Pattern[str], ...]]],
        of_gitlab: set[Path],
        roots: Sequence[Path],
    ) -> None:
        self._needles = needles
        self._detectors = detectors
        self._of_gitlab = of_gitlab
        self._roots = [f"{root.resolve()}/" for root in roots]

    def at(self, file: Path) -> Iterator[rules.Hit]:
        """By line."""
        try:
            with file.open("rb") as handle:
                raw = handle.read(_MOST + 1)
        except OSError as error:
            yield rules.Hit("scan.readable", 1, f"it cannot be read: {error.strerror}")
            return
        if len(raw) > _MOST or b"\0" in raw:
            return
        text = raw.decode("utf-8-sig", errors="replace")
        found = [*self._ours(file, raw), *self._judged(file, raw, text)]
        if not found:
            return
        allowed = {n for n, line in enumerate(text.split("\n"), 1) if rules.ALLOWED.search(line)}
        yield from sorted(
            (hit for hit in found if hit.line not in allowed), key=lambda hit: hit.line
        )

    def _ours(self, file: Path, raw: bytes) -> Iterator[rules.Hit]:
        for number, line in enumerate(raw.split(b"\n") if self._needles.find(raw) else (), 1):
            for name in sorted(self._needles.find(line)):
                yield rules.Hit("scan.stack-secret", number, f"the secret {name}")

    def _judged(self, file: Path, raw: bytes, text: str) -> list[rules.Hit]:
        small, within = raw.lower(), self._within(file)
        of = kind(within)
        found: list[rules.Hit] = []
        if fnmatchcase(f"/{within}", "*/.github/workflows/*.y*ml"):
            found += scan_ci.github(text)
            of = Kind.CI
        elif file in self._of_gitlab:
            found += scan_ci.gitlab(text)
            of = Kind.CI
        told = {hit.line for hit in found}
        name = within.name.casefold()
        numbers = suspects(small)
        if numbers or name.endswith(rules.LISTS):
            ours = rules.lines(text, numbers, of, name, code=is_code(within))
            found += (hit for hit in ours if hit.line not in told)
        told = {hit.line for hit in found}
        return found + [hit for hit in self._tokens(file, text, small, of) if hit.line not in told]

    def _within(self, file: Path) -> Path:
        """The path from where the search began: what a folder above is called says nothing."""
        text = str(file)
        for root in self._roots:
            if text.startswith(root):
                return Path(text[len(root) :])
        return Path(file.name)

    def _tokens(self, file: Path, text: str, small: bytes, of: Kind) -> Iterator[rules.Hit]:
        """What detect-secrets knows by its form."""
        letters = {letter for letter, words in _BEFORE.items() if words.search(small)}
        if not letters:
            return
        lines = [line if len(line) <= rules.LONGEST else "" for line in text.split("\n")]
        text = "\n".join(lines)
        for name, (detector, patterns) in self._detectors.items():
            before = (word.encode() for word in _DETECTORS[name] if letters & {*word})
            due = any(word in small for word in before) and not (of is Kind.MADE and name in _NAMED)
            if not due or not any(pattern.search(text) for pattern in patterns):
                continue
            keys = name == "PrivateKeyDetector"
            shown = of in _SHOWN and (detector.secret_type in _EXAMPLES or (keys and is_code(file)))
            if shown or (keys and not _KEY.search(text)):
                continue
            for number, line in enumerate(lines, 1):
                for one in detector.analyze_line(filename=str(file), line=line, line_number=number):
                    if keys or literal(one.secret_value or "", of) is not None:
                        yield rules.Hit("scan.detected", number, one.type)


def _detectors() -> dict[str, tuple[Any, tuple[re.Pattern[str], ...]]]:
    """Those of detect-secrets that we use, by name, each with patterns of which one is in every
    text that has a line for it. They ask nobody whether a key is valid."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    plugins: Mapping[str, Any] = get_mapping_from_secret_type_to_class()
    found: dict[str, tuple[Any, tuple[re.Pattern[str], ...]]] = {}
    for one in plugins.values():
        name = one.__name__
        if name in _NAMED:
            found[name] = one(), (re.compile(_NAMED[name]),)
        elif name in _DETECTORS:
            found[name] = one(), tuple(re.compile(p.pattern, p.flags | re.M) for p in one.denylist)
    return found
