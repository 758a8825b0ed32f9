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
from mngdb.model import DesiredInstance, Step
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
#: Seconds after which the same restore is another one.
_FORGOTTEN = 86_400.0


class _Begun(Struct, frozen=True):
    """A restore of `aim`, begun `at` that moment. `before` is the snapshot of what the server had
    then."""

    aim: str
    before: str
    at: float


def replace(context: Context, aim: Aim, own: OwnBackups, tell: Tell) -> tuple[Restored, Report]:
    """Take a snapshot of what the live server has, then give it the data, and bring it to what the
    file says. What a killed command had begun is gone on with. Raises MngdbError."""
    from mngdb.ops.choice import choose
    from mngdb.ops.up import up

    given, begun = context.instance(aim.instance), time.monotonic()
    asked = context.as_admin(given)
    note = _begun(context, aim, own, asked, tell)
    own.restore(asked, given, aim.manifest.id, aim.until, tell, note.at)
    detail = f"its data replaced by that of {aim.text}; before: snapshot {note.before}"
    step: Step[None] = Step(given.name, given.engine, "change", given.unit, detail, lambda _: None)
    audit.note(context.stack.state, "restore", step)
    _note(context, aim).unlink(missing_ok=True)
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
        before=note.before,
    )
    return done, report


def _begun(
    context: Context, aim: Aim, own: OwnBackups, asked: DesiredInstance, tell: Tell
) -> _Begun:
    """The restore of a killed command, where that had asked for it. Else one that begins with a
    snapshot of what the server has now: what was written since an older one is in none."""
    given, path = asked.instance, _note(context, aim)
    try:
        note = disk.read_note(path, _Begun)
    except ValueError:
        note = None
    what = (aim.manifest.id, aim.until)
    fresh = note is not None and note.aim == aim.key and time.time() - note.at < _FORGOTTEN
    if note and fresh and own.restoring(asked, given, *what, note.at):
        tell(Progress(given.unit, "going on with the restore that was interrupted"))
        return note
    tell(Progress(given.unit, "first a snapshot of what it has now"))
    note = _Begun(aim.key, kept.take(context, given, tell).id, time.time())
    disk.write(path, msgspec.json.encode(note).decode() + "\n")
    return note


def _note(context: Context, aim: Aim) -> Path:
    return disk.private(context.stack.state / _FOLDER) / aim.instance


def _unable(context: Context, given: Instance) -> dict[str, str]:
    """Apps to what they cannot do."""
    engine, found = context.engine(given), {}
    for app in given.grants:
        try:
            asked = context.as_login(given, app)
            why = engine.diagnose(context.login(asked, app), asked, app)
        except MngdbError as error:
            why = error.message
        if why:
            found[app] = why
    return found
