"""The runbooks as files, in the languages that are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from mngdb.ops import alerts
from mngdb.ops.context import Context
from mngdb.ops.runbooks import checklist, playbook
from mngdb.ops.runbooks.words import ENGLISH, KOREAN


def runbooks(context: Context, languages: Sequence[str], program: str = "mngdb") -> dict[str, str]:
    """File name to content. `program` is what the commands begin with, in the folder of the
    stack's file. Raises SecretError, UsageError."""
    rules = alerts.rules(context)
    found = {}
    for language in languages:
        words, ending = (KOREAN, ".ko.md") if language == "ko" else (ENGLISH, ".md")
        found[f"RECOVERY_PLAYBOOK{ending}"] = playbook.render(context, rules, words, program)
        found[f"OPERATIONAL_CHECKLIST{ending}"] = checklist.render(context, words, program)
    return found
