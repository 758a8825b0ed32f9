"""ACL LOG: what Redis refused, and to whom.

https://redis.io/docs/latest/commands/acl-log/
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mngdb.engines.redis.client import Session
from mngdb.engines.redis.look import pairs, told
from mngdb.facts.denied import SHOWN, key_shape, quoted

#: Entries that the server keeps unless it is told otherwise, and the setting; those that are read.
KEPT, LENGTH = 128, "acllog-max-len"
_MOST = "1000"
#: Refusals in other words than the command's and an object's.
_WITHIN = {"lua": " in a script", "multi": " in a transaction", "module": " in a module"}


class Entry(Struct, frozen=True):
    """An entry of ACL LOG."""

    reason: str
    """`auth`, `command`, `key` or `channel`."""
    login: str
    object: str
    """The command, key or channel; of a login its name."""
    command: str
    within: str
    times: int
    age: float
    """Seconds since the last time."""
    id: str = ""
    """By which the server knows it (7.2)."""

    @property
    def what(self) -> str:
        """What was refused."""
        if self.reason == "auth":
            return "a login"
        if self.reason == "command":
            return self.object.upper().replace("|", " ") + self.within
        name = quoted(key_shape(self.object))
        return f"{self.command.upper()} on the {self.reason} {name}{self.within}"


def entries(session: Session) -> list[Entry]:
    """All of them, the latest first. Raises UnobservableError where the login may not ask."""
    (answer,) = session.ask_all([["ACL", "LOG", _MOST]])
    return [_entry(one) for one in told(answer, "ACL LOG")]


def folded(entries: Iterable[Entry]) -> list[Entry]:
    """The same; of more keys or channels than a sentence has room for, refused alike, each is told
    as those that begin so: `foo:*`."""
    every, heads = list(entries), defaultdict[tuple[str, ...], set[str]](set)

    def alike(one: Entry) -> tuple[str, ...]:
        return one.login, one.reason, one.command, one.within, one.object.partition(":")[0]

    for one in every:
        if one.reason in {"key", "channel"} and ":" in one.object:
            heads[alike(one)].add(one.object)
    return [
        replace(one, object=f"{alike(one)[-1]}:*") if len(heads[alike(one)]) > SHOWN else one
        for one in every
    ]


def writes(session: Session, names: Sequence[str]) -> frozenset[str]:
    """Of these commands, those that write."""
    if not names:
        return frozenset()
    answers = told(session.ask_all([["COMMAND", "INFO", *names]])[0], "COMMAND INFO")
    return frozenset(n for n, a in zip(names, answers, strict=True) if a and "write" in a[2])


def _entry(answer: Sequence[Any] | Mapping[str, Any]) -> Entry:
    said = answer if isinstance(answer, Mapping) else pairs(answer)
    found = re.search(r"(?:^| )cmd=(\S+)", said["client-info"])
    return Entry(
        said["reason"],
        said["username"],
        said["object"],
        found[1].replace("|", " ") if found else "something",
        _WITHIN.get(said["context"], ""),
        int(said["count"]),
        float(said["age-seconds"]),
        str(said.get("entry-id", "")),
    )
