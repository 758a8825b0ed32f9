"""What is restored, of all that there is: the newest moment, or one that somebody names; and what
is said where it cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from mngdb.errors import MngdbError, UsageError
from mngdb.ops.backup.moments import shown
from mngdb.ops.backup.reach import Reach, Reachable, command, reachable
from mngdb.ops.context import Context


def older(context: Context, instance: str, snapshot: str, into: str) -> str | None:
    """How to restore the newest snapshot of an instance before one that cannot be read, in words;
    None: there is none."""
    try:
        found = reachable(context, instance).reaches
    except MngdbError:
        return None
    fits = [one for one in found if one.sound and not one.locked]
    ids = [one.manifest.id for one in fits if one.manifest.id < snapshot]
    if not ids:
        return None
    return f"the next older snapshot: {command(instance, into)} --snapshot {max(ids)}"


def newest_of(found: Reachable, instance: str) -> Reach:
    """What leads to the newest moment, of several the newest snapshot; one that is logical, or
    known to be damaged, only where there is no other.
    Raises UsageError where there is none."""
    if not found.reaches:
        raise _none(found, instance)
    return max(
        found.reaches, key=lambda one: (one.sound, not one.logical, one.newest, one.manifest.order)
    )


def _none(found: Reachable, instance: str) -> UsageError:
    if not found.damages:
        hint = f"mngdb backup {instance}"
        if found.pending:
            hint = (
                "its data was not restored yet, and the kit's store has none: set it up again with "
                f"'--store STORE', where that is; '{hint}' saves the server as it is now, empty"
            )
        return UsageError(f"{instance} has no snapshot", _also(found, hint))
    more = f", and {len(found.damages) - 1} more" if found.damages[1:] else ""
    return UsageError(
        f"{instance} has no snapshot that can be used: {found.damages[0]}{more}",
        _also(
            found,
            "mngdb verify; what has no valid signature is restored with --unsigned alone, if you "
            "know who wrote it",
        ),
    )


def _also(found: Reachable, hint: str) -> str:
    """The hint, and the way to what is in other stores."""
    if not found.elsewhere:
        return hint
    return f"{hint}; {elsewhere(found.elsewhere)}"


def elsewhere(stores: Iterable[str]) -> str:
    """The way to what is in stores that the file does not name any more, in words."""
    return (
        f"older backups are in {', '.join(stores)}: name that store in the file again, under "
        "'backup: {store: …}', to list and restore them"
    )


def leading_to(found: Reachable, instance: str, moment: float, remedy: str = "") -> Reach:
    """The newest snapshot that leads to a moment, of those that a key here opens, if any. Raises
    UsageError that names the nearest moments that can be reached, and `remedy`, what the file needs
    for more of them."""
    fits = [one for one in found.reaches if one.covers(moment)]
    if fits:
        return max(
            fits, key=lambda one: (not one.locked, one.sound, not one.logical, one.spans[0][0])
        )
    every = found.spans or found.locked
    if not every:
        raise _none(found, instance)
    before = [end for _, end in every if end < moment]
    after = [begin for begin, _ in every if begin > moment]
    near = [f"the last one before it is {shown(max(before))}"] if before else []
    near += [f"the first one after it is {shown(min(after))}"] if after else []
    alone = f"now --latest, or --snapshot ID; snapshots alone are kept: {remedy}, then 'mngdb up'"
    raise UsageError(
        f"{instance} cannot be restored to {shown(moment)}: {', '.join(near)}",
        _also(found, alone if remedy else "'mngdb backups' shows what can be reached"),
    )
