"""The log of every server into the store, as it is written: a thread for each instance."""

from __future__ import annotations

import threading
import time
import traceback

from mngdb.agent.jobs import Troubles
from mngdb.errors import MngdbError
from mngdb.ops.backup import archived, place
from mngdb.ops.backup.feed import StoreFeed
from mngdb.ops.context import Context
from mngdb.spec.stack import Instance

#: Seconds before a log that broke off is followed again: doubled each time, up to the second.
_PAUSE, _LONGEST = 0.5, 15.0
#: Seconds of following after which the next break is the first one again, and that the last
#: segments may take at the end.
_SOUND, _END = 30.0, 6.0


class Archiver:
    """Follows the instances whose engine has a log. Nothing where the file has no `backup:`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._over = threading.Event()
        self._troubles = Troubles()
        self._threads = [
            threading.Thread(target=self._keep, args=(one,), name=f"log-{one.name}", daemon=True)
            for one in archived.followed(context)
        ]

    def start(self) -> None:
        """Begin."""
        for one in self._threads:
            one.start()

    def stop(self) -> None:
        """Store what was read, and end."""
        self._over.set()
        deadline = time.monotonic() + _END
        for one in self._threads:
            one.join(max(0.0, deadline - time.monotonic()))

    def _keep(self, instance: Instance) -> None:
        pause = _PAUSE
        while not self._over.is_set():
            begun = time.monotonic()
            error = ""
            try:
                self._follow(instance)
            except MngdbError as failure:
                error = failure.message
            except Exception:  # noqa: BLE001 - told in the log and by a metric; the others run on
                error = traceback.format_exc()
            if error:
                archived.failed(self._context, instance.name, error)
            self._troubles.tell(f"archive of {instance.name}", error, "goes on")
            pause = _PAUSE if time.monotonic() > begun + _SOUND else min(_LONGEST, 2 * pause)
            self._over.wait(pause)

    def _follow(self, instance: Instance) -> None:
        context, name = self._context, instance.name
        engine = context.engine(instance)
        asked = context.asked(instance, find=False)
        place.claim(context)
        archive, sealer = place.catalog(context).archive(name), place.sealer(context)

        def note(found: archived.Archived) -> None:
            archived.note(context, name, found)
            self._troubles.tell(f"archive of {name}", found.error, "goes on")

        assert engine.follow is not None  # noqa: S101 — for mypy
        feed = StoreFeed(archive, sealer, note, self._over)
        with feed, context.reach(instance):
            engine.follow(context.admin(asked), asked, feed)
