"""The log of every server into the store, as it is written: a thread for each instance."""

from __future__ import annotations

import threading
import time
import traceback

from msgspec import Struct
from msgspec.structs import replace

from mngdb.agent.jobs import Troubles
from mngdb.errors import MngdbError, UsageError, of_system
from mngdb.ops.backup import archived, bases, keys, place, schedule
from mngdb.ops.backup.feed import StoreFeed
from mngdb.ops.context import Context
from mngdb.spec.load import load
from mngdb.spec.stack import Instance
from mngdb.stores.sealing import fingerprint
from mngdb.stores.streams import keep_memory

#: Seconds between two looks whether the keys are others now.
KEYS_EVERY = 20.0
#: Seconds before a log that broke off is followed again: doubled each time, up to the second.
_PAUSE, _LONGEST = 0.5, 15.0
#: Seconds of following after which the next break is the first one again, and that the last
#: segments may take at the end.
_SOUND, _END = 30.0, 6.0


class _Round(Struct, frozen=True):
    """A log that is followed, with the fingerprints of its keys and of what signs it, until
    `over`."""

    keys: str
    over: threading.Event


class Archiver:
    """Follows the instances whose engine has a log. Nothing where the file has no `backup:`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._over = threading.Event()
        self._rounds: dict[str, _Round] = {}
        self._troubles = Troubles()
        self._threads = [
            threading.Thread(target=self._keep, args=(one,), name=f"log-{one.name}", daemon=True)
            for one in archived.followed(context)
        ]

    def start(self) -> None:
        """Begin."""
        if self._threads:
            keep_memory()
        for one in self._threads:
            one.start()

    def stop(self) -> None:
        """Store what was read, and end."""
        self._over.set()
        for one in list(self._rounds.values()):
            one.over.set()
        deadline = time.monotonic() + _END
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

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
                found = archived.read(self._context, instance.name)
                self._noted(instance.name, replace(found, error=error))
            else:
                self._troubles.tell(f"archive of {instance.name}", "", "goes on")
            pause = _PAUSE if time.monotonic() > begun + _SOUND else min(_LONGEST, 2 * pause)
            self._over.wait(pause)

    def _noted(self, name: str, found: archived.Archived) -> None:
        """Log and keep how far it is. A disk that is full here keeps no log from being stored."""
        error = found.error
        try:
            archived.note(self._context, name, found)
        except OSError as failure:
            error = error or of_system(failure).message
        self._troubles.tell(f"archive of {name}", error, "goes on")

    def look(self) -> None:
        """Have the log begin anew once snapshots are encrypted for others, or signed with another
        secret: one has to open a snapshot and what leads on from it. One that is gone
        changes nothing, nor does another secret that nobody has set: what goes on has those of
        before, which may come back. Raises SecretError, UsageError."""
        self._context = _as_the_file_says(self._context)
        sealed, signed = place.recipients(self._context), keys.signs(self._context)
        for one in list(self._rounds.values()):
            if sealed and signed and fingerprint(sealed) + signed != one.keys:
                one.over.set()

    def _follow(self, instance: Instance) -> None:
        context, name = self._context, instance.name
        engine = context.engine(instance)
        asked = context.as_admin(instance)
        keys.claim(context)
        archive, sealer = place.catalog(context).archive(name), keys.sealer(context)
        here = self._rounds[name] = _Round(
            sealer.fingerprint + keys.signs(context), threading.Event()
        )
        if self._over.is_set():
            return

        assert engine.follow is not None  # noqa: S101 — for mypy
        before, last = archived.read(context, name), schedule.of(context, name)
        earlier = before.until if last.led_on(before) else before.earlier
        feed = StoreFeed(
            archive,
            sealer,
            lambda found: self._noted(name, found),
            here.over,
            earlier,
            lambda: bases.forget(context.stack.state, name),
        )
        with feed, context.reach(instance):
            engine.follow(context.admin(asked), asked, feed)


def _as_the_file_says(context: Context) -> Context:
    """With the file's recipients of now: scheduled backups go by them before the agent does."""
    before = context.stack.backup
    try:
        found = load(context.stack.files, context.environ).backup
    except UsageError:
        return context  # it is wrong just now: no backup is taken by it
    if found is None or before is None or found.recipients == before.recipients:
        return context
    changed = before.model_copy(update={"recipients": found.recipients})
    return replace(context, stack=replace(context.stack, backup=changed))
