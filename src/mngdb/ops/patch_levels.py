"""What is told of a server's program before it is started: the security holes that are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from msgspec.structs import replace

from mngdb.facts import patch_levels
from mngdb.facts.patch_levels import Hole
from mngdb.model import DesiredInstance, Notice
from mngdb.ops.context import Context

_HINT = (
    "set a newer program under 'binaries:', or run containers (target: compose): docs/servers.md"
)


def open_holes(
    context: Context, asked: DesiredInstance, version: str, product: str = ""
) -> tuple[Hole, ...]:
    """The known holes of a version that the instance's settings do not close. `product`: what
    people call the program; empty: as its engine."""
    engine = context.engine(asked.instance)
    return patch_levels.reachable(
        product or engine.info.title, version, partial(engine.settings, asked)
    )


def notices(
    context: Context, asked: Mapping[str, DesiredInstance], names: Iterable[str]
) -> list[Notice]:
    """One notice for each of these instances whose program has known holes; what to do is said
    once. Nothing is asked: it is about what would be started."""
    found: list[Notice] = []
    for name in names:
        site = asked[name].site
        if site is None:
            continue
        program = site.program
        holes = open_holes(context, asked[name], program.version, program.product)
        if holes:
            product = program.product or context.engine(asked[name].instance).info.title
            less = patch_levels.newer(product, program.version)
            text = f"{product} {program.version} {less}: {_said(holes)}"
            found.append(Notice(name, text))
    return [*found[:-1], replace(found[-1], hint=_HINT)] if found else []


def _said(holes: Iterable[Hole]) -> str:
    """What the holes give, each said once, with their numbers."""
    by: dict[str, list[str]] = {}
    for hole in holes:
        by.setdefault(hole.gives, []).append(hole.id)
    return "; ".join(f"{gives} ({', '.join(ids)})" for gives, ids in by.items())
