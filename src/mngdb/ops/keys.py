"""`keys`: where the memory of keys goes, of a server or in a file that one wrote."""

from __future__ import annotations

from pathlib import Path

from mngdb.engines.protocol import Diagnose, S, Verb
from mngdb.facts.keys import KeysReport, Progress, Wanted
from mngdb.ops import ask, registry
from mngdb.ops.context import Context
from mngdb.stopping import interruptible


def live_keys(context: Context, name: str | None, wanted: Wanted, progress: Progress) -> KeysReport:
    """Read a server. Ctrl-C ends it with what was seen so far. Raises UsageError,
    UnobservableError."""

    def verb(engine: Diagnose[S]) -> Verb[S, KeysReport] | None:
        look = engine.keys
        return look and (lambda s, asked: look(s, asked, wanted, progress, interruptible))

    return ask.one(context, name, "keys", verb, "INSTANCE")


def file_keys(path: Path, wanted: Wanted, progress: Progress) -> KeysReport:
    """Read a file, by the engine that reads its own. Likewise. Raises UsageError."""
    look = next(one.keys_file for one in registry.every() if one.keys_file is not None)
    return look(path, wanted, progress, interruptible)
