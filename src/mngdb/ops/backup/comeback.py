"""A stack that was set up from its kit: started, and every instance given the newest data."""

from __future__ import annotations

from msgspec import Struct

from mngdb.errors import InterruptError, MngdbError
from mngdb.events import Progress
from mngdb.ops.backup import place
from mngdb.ops.backup.notes import Restored
from mngdb.ops.backup.pick import newest_of
from mngdb.ops.backup.reach import reachable
from mngdb.ops.backup.restore import beside, in_place
from mngdb.ops.backup.scratch import replaceable
from mngdb.ops.backup.sources import origins
from mngdb.ops.backup.tried import Tell
from mngdb.ops.context import Context
from mngdb.ops.up import up


class Comeback(Struct, frozen=True):
    """What came back, in the place of the empty server or `beside` it, and by instance why
    something did not."""

    restored: tuple[Restored, ...]
    beside: tuple[Restored, ...]
    errors: dict[str, MngdbError]


def bring_back(context: Context, tell: Tell) -> Comeback:
    """Start the stack, and restore each instance that waits for its data to its newest moment:
    beside the empty server, where its data cannot be replaced. What fails for one of them keeps
    none of the others. What a killed command had begun is finished.
    Raises MngdbError where nothing can be started."""
    errors = dict(up(context, frozenset(), tell).errors)
    found, aside = [], []
    for name in origins(context.stack.state).pending:
        if name in errors:
            continue
        try:
            there = reachable(context, name)
            aim = newest_of(there, name).to_newest()
            if there.lost:
                tell(Progress(context.instance(name).unit, f"warning: {there.lost}"))
            place.opener(context, aim.manifest)
            if not replaceable(context, context.instance(name)):
                aside.append(beside(context, aim, tell, again=True))
                continue
            done, report = in_place(context, aim, tell)
        except InterruptError:
            raise
        except MngdbError as error:
            errors[name] = error
        else:
            found.append(done)
            errors |= report.errors
    return Comeback(tuple(found), tuple(aside), errors)
