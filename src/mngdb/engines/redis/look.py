"""What a Redis server tells of itself, in one round trip: `observe` makes of it what `reconcile`
judges, `inspect` what the checks do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from mngdb.engines.redis import acl
from mngdb.engines.redis.client import RefusedError, Session
from mngdb.errors import UnobservableError
from mngdb.findings import Seen, see


class Look(Struct, frozen=True):
    """What was seen; what the server refuses is a reason."""

    info: Seen[Mapping[str, str]]
    settings: Seen[Mapping[str, str]]
    users: Seen[Sequence[acl.User]]
    more: Sequence[Any]
    """Answers to the other questions, as they came."""


def look(session: Session, sections: str, *more: Sequence[str]) -> Look:
    """Those sections of INFO (one, before Redis 7), all settings and logins, and what else is
    asked."""
    info, config, users, *rest = session.ask_all(
        [["INFO", *sections.split()], ["CONFIG", "GET", "*"], ["ACL", "LIST"], *more]
    )
    return Look(
        see(lambda: parse_info(told(info, "INFO"))),
        see(lambda: pairs(told(config, "CONFIG GET"))),
        see(lambda: [acl.parse(line) for line in told(users, "ACL LIST")]),
        rest,
    )


def told(answer: Any, what: str) -> Any:
    """The answer. Raises UnobservableError where it is a refusal."""
    if isinstance(answer, RefusedError):
        raise UnobservableError(f"{what} is refused: {answer.message}")
    return answer


def parse_info(text: str) -> dict[str, str]:
    """`INFO`'s lines as a mapping."""
    found = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key: value.strip() for key, value in found}


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """Names and values in turn as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
