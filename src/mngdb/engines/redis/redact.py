"""Commands as a log may have them: names of commands, no keys and values, which may be secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

#: Commands whose second word is one of their own.
_FAMILIES = frozenset(
    {
        *("ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "INFO", "LATENCY"),
        *("MEMORY", "MODULE", "OBJECT", "PUBSUB", "SCRIPT", "SLOWLOG", "XINFO"),
    }
)
#: Rules of ACL SETUSER with a password or its hash.
_SECRET_RULES = (">", "<", "#", "!")
#: Different commands of a round trip that are named.
_NAMED = 8


def redacted(commands: Sequence[Sequence[str]]) -> str:
    """The commands of one round trip."""
    found = Counter(map(_redacted, commands))
    names = [f"{count} × {name}" if count > 1 else name for name, count in found.items()]
    more = [f"{len(names) - _NAMED} others"] if len(names) > _NAMED else []
    return "; ".join(names[:_NAMED] + more)


def _redacted(command: Sequence[str]) -> str:
    words = [word.upper() for word in command[:2]]
    if words == ["ACL", "SETUSER"]:
        return " ".join(f"{w[0]}…" if w.startswith(_SECRET_RULES) else w for w in command)
    if words == ["CONFIG", "SET"]:
        return " ".join(["CONFIG SET", *(f"{name} …" for name in command[2::2])])
    shown = words if words[0] in _FAMILIES else words[:1]
    return " ".join(shown) + (" …" if len(command) > len(shown) else "")
