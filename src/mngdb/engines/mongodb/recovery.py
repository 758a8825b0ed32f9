"""What mongod's log tells of a start that takes long: WiredTiger's recovery, then replication's."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

#: What is of clients, and of times when it runs.
_OTHERS = frozenset({"NETWORK", "ACCESS", "COMMAND", "CONNPOOL"})
#: WiredTiger's own time, process and thread, and the part of it that speaks.
_MARKS = re.compile(r"^(?:\[[^\]]*\])+,?\s*|\[WT_VERB_\w+\]\s*")


def recovery(lines: Sequence[str]) -> str:
    """The last line that is not of clients; empty: there is none."""
    for line in reversed(lines):
        try:
            found = json.loads(line)
            if found["c"] in _OTHERS:
                continue
            said = found.get("attr", {}).get("message")
            if isinstance(said, dict):
                said = said.get("msg")
            return _MARKS.sub("", said) if isinstance(said, str) else str(found["msg"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # cut off, or of another program
    return ""
