"""The moment before a command that removed much: it is looked for in the archived log."""

from __future__ import annotations

from mngdb.engines.protocol import AnyEngine
from mngdb.errors import UsageError
from mngdb.ops import registry
from mngdb.ops.backup import place
from mngdb.ops.backup.moments import shown
from mngdb.ops.backup.pick import newest_of
from mngdb.ops.backup.reach import BEYOND, Aim, Reach, Reachable
from mngdb.ops.backup.stored import StoredSnapshot
from mngdb.ops.context import Context
from mngdb.snapshot import Removal

#: So many of those that were found instead are named.
_NAMED = 3
#: Seconds before a command at which it was not there yet.
_BEFORE = 0.001
_SEARCH = "--to TIME restores beside the live server, and may be tried for several moments"


def before(
    context: Context, found: Reachable, instance: str, command: str
) -> tuple[Aim, tuple[str, ...]]:
    """The restore to just before the last such command, which may end with the name of what it
    removed, and notes for people. The log is read from the newest snapshot on, then from the one
    before it, and so on. Raises UsageError where it is not in the log, MngdbError for a log that
    cannot be read."""
    newest = newest_of(found, instance)
    engine = registry.engine(newest.manifest.engine)
    way, target = _split(engine, instance, command)
    opened = [one for one in found.reaches if not one.locked]
    if not opened:
        place.opener(context, newest.manifest)  # it says which key is missing
    upto, others, unnamed = float("inf"), list[Removal](), list[Removal]()
    for reach in reversed(opened):
        every = [one for one in _removals(context, engine, reach, upto) if way in one.commands]
        named = [one for one in every if not one.unnamed]
        fits = [one for one in named if _about(one, target)]
        unnamed = [one for one in every if one.unnamed] + unnamed
        if fits:
            return _aim(reach, fits[-1]), _later(fits[-1], unnamed)
        others = named + others
        upto = reach.manifest.moment
    has = f"it has: {'; '.join(map(_said, others[-_NAMED:]))}; " if others else ""
    if unnamed:
        has += f"{_dropped(unnamed)}; "
    raise UsageError(
        f"the log of {instance} shows no {command!r} since {shown(upto)}",
        f"{has}it does not show {engine.unseen}: {_SEARCH}",
    )


def _later(removal: Removal, unnamed: list[Removal]) -> tuple[str, ...]:
    """A note, where what was found may not be the last such command."""
    later = [one for one in unnamed if one.moment > removal.moment]
    if not later:
        return ()
    return (f"{_dropped(later)}: if that is what you mean, --to such a moment",)


def _dropped(unnamed: list[Removal]) -> str:
    moments = ", ".join(f"'{shown(one.moment - _BEFORE)}'" for one in unnamed[-_NAMED:])
    return f"something without a name in the snapshot was dropped just after {moments}"


def _split(engine: AnyEngine, instance: str, command: str) -> tuple[str, str]:
    """The command as the engine knows it, and what it has to be about."""
    for way in sorted(engine.removing, key=len, reverse=True):
        if f"{command} ".lower().startswith(f"{way} ".lower()):
            return way, command[len(way) :].strip()
    shows = f"it shows only {', '.join(engine.removing)}; for the rest: " if engine.removing else ""
    shows += _SEARCH
    raise UsageError(f"the log of {instance} does not show {command!r}", shows)


def _about(removal: Removal, target: str) -> bool:
    """Whether it is about this: names may be quoted, and the first ones left out."""
    asked, whole = target.replace('"', "").lower(), removal.target.lower()
    return not asked or asked == whole or whole.endswith(f".{asked}")


def _removals(context: Context, engine: AnyEngine, reach: Reach, upto: float) -> list[Removal]:
    """Those that one snapshot's log leads to, up to a moment: what is later, a newer one does."""
    manifest = reach.manifest
    if not reach.segments:
        return []
    segments = tuple(one for one in reach.segments if one.since <= upto + BEYOND)
    catalog, opener = place.catalog_of(context, manifest), place.opener(context, manifest)
    log = StoredSnapshot(
        catalog, opener, Aim(manifest, segments), (), lambda *_: None, lambda *_: None
    )
    return [one for one in engine.removals(log) if manifest.moment < one.moment <= upto]


def _aim(reach: Reach, removal: Removal) -> Aim:
    segments = tuple(one for one in reach.segments if one.begin < removal.position)
    stop, text = removal.position, removal.text
    at = removal.moment
    return Aim(reach.manifest, segments, at, stop=stop, before=text, parents=reach.parents)


def _said(removal: Removal) -> str:
    return f"{removal.text} at {shown(removal.moment)}"
