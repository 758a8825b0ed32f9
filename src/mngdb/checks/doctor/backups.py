"""What keeps writes from the store of the backups, and what helps."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from mngdb.facts.doctor import StackFacts, Trouble
from mngdb.spec.file import NEW_LOGIN

#: What a file system says that is full, and what helps a store that says so.
_FULL = os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)
_ROOM = "free space in the store, or name another one ('backup: {store: …}'); the rest follows"
#: What a store's error says, and what helps.
_HELP = (
    *((one, _ROOM) for one in _FULL),
    (" refuses to ", NEW_LOGIN),
    (": cannot ", "bring the store back: what waits for it is stored then, by itself"),
)


def unstored(facts: StackFacts) -> Iterator[Trouble]:
    """Instances whose writes do not reach the store."""
    together: dict[str, list[str]] = {}
    for instance, problem in facts.backups.items():
        together.setdefault(problem, []).append(instance)
    for problem, names in together.items():
        text = f"{', '.join(names)}: what is written is not backed up: {problem}"
        helps = (remedy for sign, remedy in _HELP if sign in f": {problem}")
        yield Trouble("backup", text, next(helps, "mngdb backups"), tuple(names))


def lost_secrets(facts: StackFacts) -> Iterator[Trouble]:
    """Of the backups' own secrets, what is missing or does not fit."""
    for wrong in facts.backup_secrets:
        yield Trouble("backup-secret", wrong.message, wrong.hint)
