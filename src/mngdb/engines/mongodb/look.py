"""What a MongoDB server is asked of itself, by `observe` for `reconcile`, which needs the answers,
and by `inspect` for its checks, where a refusal is a reason and time is short (`Questions.ask`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from mngdb.engines.mongodb.client import EVERY_INDEX
from mngdb.engines.mongodb.facts import FoundIndex
from mngdb.engines.mongodb.render import flatten
from mngdb.facts.mongodb import Document


class Ask(Protocol):
    """Runs a command. What it raises, the questions do."""

    def __call__(self, name: str, value: Any = 1, *, on: str = "admin", **rest: Any) -> Document:
        """The reply."""
        ...


def options(ask: Ask) -> dict[str, str]:
    """What it was started with."""
    return flatten(dict(ask("getCmdLineOpts")["parsed"]))


def slow(ask: Ask) -> int:
    """Milliseconds from which on an operation is slow."""
    return int(ask("profile", -1)["slowms"])


def profilers(ask: Ask, databases: Iterable[str]) -> dict[str, int]:
    """Database to profiling level."""
    return {name: int(ask("profile", -1, on=name)["was"]) for name in databases}


def users(ask: Ask, *, everywhere: bool = True) -> list[Document]:
    """The logins with their verifiers, of all databases or of admin."""
    where: object = {"forAllDBs": True} if everywhere else 1
    found: list[Document] = ask("usersInfo", where, showCredentials=True)["users"]
    return found


def indexes(ask: Ask, database: str, collection: str) -> tuple[FoundIndex, ...]:
    """The collection's. Raises Refused where there is none, or where it is a view."""
    reply = ask("listIndexes", collection, on=database, cursor=EVERY_INDEX)
    return tuple(FoundIndex(str(one["name"]), one) for one in reply["cursor"]["firstBatch"])
