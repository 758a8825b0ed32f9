"""A rotation, from phase to phase. Each can be interrupted anywhere, and is then begun again.

All that is changed of an instance goes over one session, all passwords are promoted in one write of
the vault, and all sessions are waited for together.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from msgspec import Struct
from msgspec.structs import replace

from mngdb import stopping
from mngdb.errors import MngdbError, SecretError, UsageError
from mngdb.events import Progress
from mngdb.lock import lock
from mngdb.model import Step
from mngdb.ops import audit, publish, unusable
from mngdb.ops.context import Context
from mngdb.ops.rotate import sessions
from mngdb.ops.rotate.going import Going, OnEvent
from mngdb.ops.rotate.note import Entry, entries, keep, together
from mngdb.ops.rotate.servers import Servers
from mngdb.secret import after, generate
from mngdb.spec.stack import Instance, secret_name
from mngdb.words import many

#: Seconds that an app has from reading its settings to being logged in by them: nobody who read the
#: old password just before is refused.
SETTLE = 5.0
#: Seconds after which an app asks again for settings that are in no file (mngdb.client).
_REREAD = 30.0
#: Seconds that a command which works on the stack is waited for.
_PATIENCE = 30.0


class Left(Struct, frozen=True):
    """What is not over, and why it did not go on, by the vault's names."""

    entries: tuple[Entry, ...]
    errors: Mapping[str, MngdbError]
    sessions: Mapping[str, int]
    """How many sessions of the old password there are, of those that wait for them."""


class Login(Struct, frozen=True):
    """A login whose password is to be rotated."""

    instance: Instance
    name: str

    @property
    def secret(self) -> str:
        """The vault's name."""
        return secret_name(self.instance, self.name)


def begin(
    context: Context,
    logins: Iterable[Login],
    grace: float,
    on_event: OnEvent,
    *,
    now: bool = False,
) -> dict[str, MngdbError]:
    """Take note of new rotations; none where the same was begun before and is not over. What goes
    on already goes on; `now`: without waiting for sessions any longer. Returns what is not begun
    since its secret is missing or cannot be used, by the vault's names: the server's password is
    known to nobody then. Raises SecretError where the vault keeps no second password, LockedError.
    """
    with _locked(context):
        going, chosen = entries(context.stack.state), [*logins]
        all_of_them = together(one.secret for one in chosen)
        new = [one for one in chosen if one.secret not in going]
        bad = _unknown(context, new)
        new = [one for one in new if one.secret not in bad]
        if any((one.together, one.now) == (all_of_them, now) for one in going.values()):
            new = []
        if now:
            hurried = [going[one.secret] for one in chosen if one.secret in going]
            going |= {one.secret: replace(one, now=True) for one in hurried}
            keep(context.stack.state, going.values())
        if not new:
            return bad
        if context.vault.stands_in:
            raise SecretError(
                "the vault cannot be asked, and an old copy of it holds no second password",
                "run the same command when it can be asked again",
            )
        if not context.vault.writable:
            raise UsageError(
                "the vault is read-only: it cannot hold two passwords at a time",
                "change them where the vault gets them from; or use 'vault: files'",
            )
        begun = time.time()
        for one in new:
            going[one.secret] = Entry(
                *(one.secret, one.instance.name, one.name, "opening", begun, grace),
                now=now,
                together=all_of_them,
            )
        keep(context.stack.state, going.values())
        on_event(Progress("rotation", f"begun: {many(len(new), 'password')}"))
        return bad


def _unknown(context: Context, logins: Iterable[Login]) -> dict[str, MngdbError]:
    """Logins whose current passwords the vault cannot tell, by its names, with the reason."""
    names = [one.secret for one in logins]
    found = context.vault.get_many(names)
    missing = [name for name in names if name not in found]
    return {
        **{name: SecretError(context.missing(name), "mngdb up") for name in missing},
        **unusable.among(context, names),
    }


def advance(
    context: Context,
    on_event: OnEvent,
    only: Collection[str] | None = None,
    *,
    grace: float | None = None,
) -> Left:
    """Go on with what goes on (or with `only` some, by the vault's names), as far as that is
    possible without waiting. `grace`: sessions of the old passwords are waited for so long. Raises
    LockedError, SecretError, OSError."""
    work = _Work(context, on_event, only)
    if work.going.gone() or work.going.of("opening", "publishing", "withdrawing"):
        with _locked(context):
            work.going.end(work.going.gone())  # the next 'up' closes their logins
            work.open()
            work.publish()
    over = work.over(grace)
    if over or work.going.of("withdrawing"):
        with _locked(context):
            work.going.move(over, "withdrawing")
            work.withdraw()
    return Left(tuple(work.going.chosen()), work.going.errors, work.counts)


def go_back(context: Context, on_event: OnEvent, only: Collection[str]) -> list[Entry]:
    """Turn rotations around: what is not published yet ends, for the rest the password of before is
    published again. `advance` does the rest. Returns them. Raises UsageError where one cannot."""
    with _locked(context):
        work = _Work(context, on_event, only)
        late = [one for one in work.going.of("withdrawing") if one.published is not None]
        if late:
            raise UsageError(
                f"{late[0].secret}: the old password is withdrawn already",
                "'mngdb rotate' with the same words finishes it",
            )
        work.turn()
        return work.going.chosen()


def going(context: Context) -> bool:
    """Whether there is something that `advance` would do or wait for. Raises UsageError."""
    found = Going(context, lambda _: None)
    return bool(found.chosen() or found.gone())


def _locked(context: Context) -> AbstractContextManager[None]:
    context.vault.forget()
    return lock(context.stack.state / "lock", "rotate", _PATIENCE)


class _Work:
    """The phases."""

    def __init__(
        self, context: Context, on_event: OnEvent, only: Collection[str] | None = None
    ) -> None:
        self.context, self.on_event = context, on_event
        self.going = Going(context, on_event, only)
        self.servers = Servers(context, on_event)
        self.counts: dict[str, int] = {}

    def open(self) -> None:
        """New passwords let in beside those that do."""
        due = self.going.of("opening")
        self._make(due)
        ready = self.going.each(due, self._opened)
        self.going.move(ready, "publishing")

    def _make(self, due: Sequence[Entry]) -> None:
        """Put new secrets where a killed command has put none."""
        vault = self.context.vault
        there = vault.get_many([one.secret for one in due], "pending")
        errors, new = self.going.errors, {}
        for one in due:
            if one.secret in there:
                continue
            try:
                current = vault.get(one.secret)
            except SecretError as error:
                errors[one.secret] = error
                continue
            if current is None:
                errors[one.secret] = SecretError(self.context.missing(one.secret), "mngdb up")
                continue
            instance = self.context.stack.instances[one.instance]
            by_turns = self.context.engine(instance).info.one_password and not one.single
            new[one.secret] = after(current) if by_turns else generate()
        if new:
            vault.delete([*new], ("previous",))
            vault.put(new, "pending")

    def _opened(self, instance: Instance, due: Sequence[Entry]) -> dict[str, MngdbError]:
        """Open the logins of one instance, and log in by each."""
        apps = [one for one in due if not one.single]
        if not apps:
            return {}
        self.servers.tell(instance, f"open {many(len(apps), 'login')}")
        refused = self.servers.converge(instance, apps)
        ready = [one for one in apps if one.secret not in refused]
        return {**refused, **self.servers.tried(instance, ready)}

    def publish(self) -> None:
        """The new passwords become the current ones, all at once, and apps read them."""
        context, vault = self.context, self.context.vault
        ready = self.going.each(self.going.of("publishing"), self._changed)
        if not ready:
            return
        stopping.check()
        pending = vault.get_many([one.secret for one in ready], "pending")
        if pending:
            vault.promote([*pending])
        apps = {one.login for one in ready} & context.stack.apps.keys()
        failed = publish.each(context, [app for app in context.stack.apps if app in apps])
        self.going.errors |= {e.secret: failed[e.login] for e in ready if e.login in failed}
        self.servers.write_secrets(ready)
        ready = self.going.each(ready, self.servers.rewritten)
        for one in ready:
            audit.note(context.stack.state, "rotate", self._step(one))
        now = time.time()
        self.going.move([one for one in ready if one.single], "withdrawing", published=now)
        self.going.move([one for one in ready if not one.single], "waiting", published=now)
        if ready:
            self.on_event(Progress("rotation", f"published: {many(len(ready), 'password')}"))

    def _step(self, one: Entry) -> Step[None]:
        detail = "the password of before is current again" if one.back else "a new password"
        engine = self.context.stack.instances[one.instance].engine
        what = f"secret {one.secret}"
        return Step(one.instance, engine, "change", what, detail, lambda _: None)

    def _changed(self, instance: Instance, due: Sequence[Entry]) -> dict[str, MngdbError]:
        """Logins with one password get the pending one."""
        pending = self.context.vault.get_many([one.secret for one in due], "pending")
        new = {
            one.login: secret
            for one in due
            if one.single and (entry := pending.get(one.secret)) and (secret := entry.usable())
        }
        if not new:
            return {}
        self.servers.tell(instance, f"change the password of {', '.join(new)}")
        refused = self.servers.change(instance, new)
        if any(one.now and one.login in new for one in due):
            self.servers.hang_up(instance, new)
        return {one.secret: refused[one.login] for one in due if one.login in refused}

    def over(self, grace: float | None) -> list[Entry]:
        """Those that nobody waits for any more: no session of the old password is left, or the
        limit has passed."""
        waiting = self.going.of("waiting")
        settled = SETTLE + (0.0 if self.context.vault.folder else _REREAD)
        limits = {one.secret: one.grace if grace is None else grace for one in waiting}
        done = [one for one in waiting if one.now or one.passed() >= limits[one.secret]]
        rest = [one for one in waiting if one not in done and one.passed() >= settled]

        def look(instance: Instance, some: Sequence[Entry]) -> dict[str, MngdbError]:
            self.counts |= sessions.old(self.context, instance, some)
            return {}

        seen = self.going.each(rest, look)
        return done + [one for one in seen if self.counts.get(one.secret) == 0]

    def withdraw(self) -> None:
        """The old passwords let nobody in any more, and what they let in ends."""
        done = self.going.each(self.going.of("withdrawing"), self._withdrawn)
        self.going.end(done)
        if done:
            self.on_event(Progress("rotation", f"over: {many(len(done), 'password')}"))

    def _withdrawn(self, instance: Instance, due: Sequence[Entry]) -> dict[str, MngdbError]:
        apps = [one for one in due if not one.single]
        if not apps:
            return {}
        self.servers.tell(instance, f"withdraw {many(len(apps), 'old password')}")
        refused = self.servers.converge(instance, apps)
        gone = [one for one in apps if one.secret not in refused]
        sessions.end_doubtful(self.context, instance, gone)
        return refused

    def turn(self) -> None:
        """Go back, see `go_back`."""
        vault, going = self.context.vault, self.going
        chosen = going.chosen()
        names = [one.secret for one in chosen]
        pending, previous = (vault.get_many(names, v) for v in ("pending", "previous"))
        early = [one for one in chosen if one.phase == "opening" or one.secret in pending]
        late = [one for one in going.of("publishing", "waiting") if not (one in early or one.back)]
        if early:
            if len(going.each(early, self._unchanged)) < len(early):
                raise next(iter(going.errors.values()))
            vault.delete([one.secret for one in early], ("pending",))
            going.move(early, "withdrawing", back=True)
        before = {}
        for one in late:
            entry = previous.get(one.secret)
            old = entry.usable() if entry else None
            if old is None:
                raise SecretError(f"{one.secret}: the password of before is not in the vault")
            before[one.secret] = old
        if before:
            vault.put(before, "pending")
        going.note([replace(e, phase="publishing", back=True, until=e.published) for e in late])

    def _unchanged(self, instance: Instance, due: Sequence[Entry]) -> dict[str, MngdbError]:
        """Logins with one password have the current one again."""
        current = {
            one.login: secret
            for one in due
            if one.single and one.phase == "publishing"
            if (secret := self.context.vault.get(one.secret)) is not None
        }
        refused = self.servers.change(instance, current) if current else {}
        return {one.secret: refused[one.login] for one in due if one.login in refused}
