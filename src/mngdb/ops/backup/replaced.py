"""`restore --replace` where who keeps the backups restores the live server itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.events import Progress
from mngdb.model import Step
from mngdb.ops import audit
from mngdb.ops.backup import kept
from mngdb.ops.backup.notes import Restored
from mngdb.ops.backup.reach import Aim
from mngdb.ops.backup.tried import Tell
from mngdb.ops.context import Context
from mngdb.spec.stack import Instance
from mngdb.targets.backups import OwnBackups

if TYPE_CHECKING:
    from mngdb.ops.up import Report

#: In the stack's own folder: one file for each instance whose restore has not ended.
_FOLDER = "kept-restores"


class _Begun(Struct, frozen=True):
    """A restore of `aim`. `before` is the snapshot of what the server had."""

    aim: str
    before: str


def replace(context: Context, aim: Aim, own: OwnBackups, tell: Tell) -> tuple[Restored, Report]:
    """Take a snapshot of what the live server has, then give it the data, and bring it to what the
    file says. What a killed command had begun is gone on with. Raises MngdbError."""
    from mngdb.ops.choice import choose
    from mngdb.ops.up import up

    given, begun = context.instance(aim.instance), time.monotonic()
    folder = disk.private(context.stack.state / _FOLDER)
    before = _before(context, aim, given, folder / given.name, tell)
    asked = context.asked(given, find=False)
    own.restore(asked, given, aim.manifest.id, aim.until, tell)
    detail = f"its data replaced by that of {aim.text}; before: snapshot {before}"
    step: Step[None] = Step(given.name, given.engine, "change", given.unit, detail, lambda _: None)
    audit.note(context.stack.state, "restore", step)
    (folder / given.name).unlink(missing_ok=True)
    report = up(context, frozenset(), tell, choose(context, [given.name]))
    access = context.admin(asked)
    engine = context.engine(given)
    done = Restored(
        instance=given.name,
        engine=given.engine,
        snapshot=aim.manifest.id,
        restored_to=aim.moment,
        address=f"{access.host}:{access.port}",
        url=engine.url(msgspec.structs.replace(access, password=None)),
        seconds=time.monotonic() - begun,
        phases={},
        unable=_unable(context, given),
        before=before,
    )
    return done, report


def _before(context: Context, aim: Aim, given: Instance, note: Path, tell: Tell) -> str:
    """The snapshot of what the server has: the one of a killed command, whose restore may be under
    way."""
    try:
        found = msgspec.json.decode(disk.read_own(note) or "null", type=_Begun | None)
    except msgspec.DecodeError:
        found = None
    if found is not None and found.aim == aim.key:
        tell(Progress(given.unit, "going on with the restore that was interrupted"))
        return found.before
    tell(Progress(given.unit, "first a snapshot of what it has now"))
    before = kept.take(context, given, tell).id
    disk.write(note, msgspec.json.encode(_Begun(aim.key, before)).decode() + "\n")
    return before


def _unable(context: Context, given: Instance) -> dict[str, str]:
    """Apps to what they cannot do."""
    asked, engine = context.asked(given, find=False), context.engine(given)
    found = {}
    for app in given.grants:
        try:
            why = engine.diagnose(context.login(asked, app), asked, app)
        except MngdbError as error:
            why = error.message
        if why:
            found[app] = why
    return found
