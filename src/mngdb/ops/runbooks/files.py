"""The runbooks as files, in the languages that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from mngdb.alerts.rules import Rule
from mngdb.findings import Check
from mngdb.ops import alerts
from mngdb.ops.context import Context
from mngdb.ops.runbooks import checklist, korean, playbook
from mngdb.ops.runbooks.words import CHECKLIST, ENGLISH, KOREAN, PLAYBOOK, Words

#: Language to its words, and to an alert's rule and a check's title in it.
_LANGUAGES: Mapping[str, tuple[Words, Callable[[Rule], Rule], Callable[[Check[Any]], str]]] = {
    "en": (ENGLISH, lambda rule: rule, lambda check: check.title),
    "ko": (KOREAN, korean.rule, korean.title),
}


def runbooks(
    context: Context, languages: Sequence[str], program: str = "mngdb", main: str = "en"
) -> dict[str, str]:
    """File name to content. `program` is what the commands begin with, in the folder of the
    stack's file. The pages in the language `main` have no language in their names: documents and
    alerts link to those. Raises SecretError, UsageError."""
    rules = alerts.rules(context)
    found: dict[str, str] = {}
    for language in languages:
        words, rule, title = _LANGUAGES[language]
        words = replace(words, ending=".md" if language == main else f".{language}.md")
        translated = [replace(one, rule=rule(one.rule)) for one in rules]
        found |= {
            words.file(PLAYBOOK): playbook.render(context, translated, words, program),
            words.file(CHECKLIST): checklist.render(context, title, words, program),
        }
    return found
