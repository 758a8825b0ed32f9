"""restore --database, --table, --collection, --keys: a part, back in the live server."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from mngdb.cli.backup import Shown
from mngdb.cli.common import Options, confirm, repeatable, say, say_json, size, tell
from mngdb.errors import UsageError
from mngdb.part import Brought, Kind, Part
from mngdb.words import plain

if TYPE_CHECKING:
    from mngdb.ops.backup.parts import Returned
    from mngdb.ops.backup.reach import Aim
    from mngdb.ops.context import Context

F = TypeVar("F", bound=Callable[..., Any])

_KINDS: tuple[Kind, ...] = ("database", "table", "collection", "keys")


def with_part(function: F) -> F:
    """Add the options that name a part of the data; the command gets it as `part`."""

    @click.option("--database", metavar="NAME", help="Bring this database back (PostgreSQL).")
    @click.option(
        "--table", metavar="[DB.][SCHEMA.]TABLE", help="Bring this table back (PostgreSQL)."
    )
    @click.option("--collection", metavar="DB.NAME", help="Bring this collection back (MongoDB).")
    @click.option("--keys", metavar="PATTERN", help="Bring keys like 'shop:*' back (Redis).")
    @click.option(
        "--as",
        "renamed",
        metavar="NAME",
        default="",
        help="What the part is called. Default: its own name where it is free, else "
        "NAME_restored_DATE_TIME.",
    )
    @click.option(
        "--overwrite", is_flag=True, help="With --keys: existing keys get their old values."
    )
    @functools.wraps(function)
    def wrapped(*args: Any, renamed: str, overwrite: bool, **kwargs: Any) -> Any:
        found = {kind: kwargs.pop(kind) for kind in _KINDS}
        return function(*args, part=_part(found, renamed, overwrite), **kwargs)

    return cast(F, wrapped)


def _part(found: dict[Kind, str | None], renamed: str, overwrite: bool) -> Part | None:
    """Raises UsageError for options that do not fit each other."""
    named = [(kind, text) for kind, text in found.items() if text is not None]
    if len(named) > 1:
        raise UsageError(
            "one part at a time: " + ", ".join(f"--{kind}" for kind, _ in named),
            "run the command once for each",
        )
    if overwrite and not found["keys"]:
        raise UsageError("--overwrite is for --keys: nothing else is ever overwritten")
    if not named:
        if renamed:
            raise UsageError("--as is for a part of the data", "--database, --table, --collection")
        return None
    ((kind, text),) = named
    if not text:
        raise UsageError(f"--{kind} is empty")
    return Part(kind=kind, text=text, renamed=renamed, overwrite=overwrite)


@repeatable
def bring_back(options: Options, context: Context, aim: Aim, part: Part, yes: bool) -> int:
    """Bring a part back, and show what came of it."""
    from mngdb.ops.backup import parts

    def agree(plan: Brought) -> None:
        tell(f"bringing back {_what(part, plan)}{_counted(plan)}")
        for note in plan.notes:
            tell(f"  {plain(note)}")
        if plan.overwrites and not yes:
            confirm("overwrite them?")

    found = parts.bring_back(context, aim, part, agree, Shown())
    if options.json:
        say_json(_document(found))
        return 0
    say(
        f"{found.instance}  {_what(part, found.brought)}{_counted(found.brought)}, "
        f"in {found.seconds:.1f} s"
    )
    return 0


def _what(part: Part, found: Brought) -> str:
    own = part.text if part.text == found.name or not found.name else f"{part.text} as {found.name}"
    return f"{part.kind} {plain(own)}"


def _counted(found: Brought) -> str:
    counts = [(name, n) for at, (name, n) in enumerate(found.counts.items()) if n or at == 0]
    texts = (
        size(n) if name == "bytes" else f"{n:,} {name.removesuffix('s') if n == 1 else name}"
        for name, n in counts
    )
    return f": {', '.join(texts)}" if counts else ""


def _document(found: Returned) -> dict[str, Any]:
    from mngdb.ops.backup.history import iso

    return {
        "instance": found.instance,
        "engine": found.engine,
        "snapshot": found.snapshot,
        "restored_to": iso(found.restored_to),
        "part": {"kind": found.part.kind, "name": found.part.text},
        "name": found.brought.name or None,
        "counts": found.brought.counts,
        "notes": list(found.brought.notes),
        "seconds": round(found.seconds, 3),
    }
