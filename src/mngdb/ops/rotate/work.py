"""A rotation, from phase to phase. Each can be interrupted anywhere, and is then begun again.

All that is changed of an instance goes over one session, all passwords are promoted in one write of
the vault, and all sessions are waited for together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mngdb import stopping
from mngdb.errors import MngdbError, SecretError, StepError, UsageError
from mngdb.events import Done, Progress
from mngdb.lock import lock
from mngdb.model import DesiredInstance, Step
from mngdb.ops import audit, publish, workers
from mngdb.ops.context import Context, secret_name
from mngdb.ops.rotate import sessions
from mngdb.ops.rotate.note import ADMIN, Entry, Phase, entries, keep, together
from mngdb.secret import SECOND, Secret, after, generate
from mngdb.spec.agent import MONITOR
from mngdb.spec.stack import Instance
from mngdb.targets.converge import Converger
from mngdb.words import many

#: Seconds that an app has from reading its settings to being logged in by them: nobody who read the
#: old password just before is refused.
SETTLE = 5.0
#: Seconds after which an app asks again for settings that are in no file (mngdb.client).
_REREAD = 30.0
#: Seconds that a command which works on the stack is waited for.
_PATIENCE = 30.0
#: Logins that are tried at the same time.
_THREADS = 8
#: Seconds that a provider takes, at most, until every node knows a login that he was told of.
_SPREAD = 120.0

OnEvent = Callable[[object], None]


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
) -> None:
    """Take note of new rotations; none where the same was begun before and is not over. What goes
    on already goes on; `now`: without waiting for sessions any longer. Raises SecretError where the
    vault keeps no second password, LockedError."""
    with _locked(context):
        going, chosen = entries(context.stack.state), [*logins]
        all_of_them = together(one.secret for one in chosen)
        new = [one for one in chosen if one.secret not in going]
        if any((one.together, one.now) == (all_of_them, now) for one in going.values()):
            new = []
        if now:
            hurried = [going[one.secret] for one in chosen if one.secret in going]
            going |= {one.secret: replace(one, now=True) for one in hurried}
            keep(context.stack.state, going.values())
        if not new:
            return
        missing = [one.secret for one in new if context.vault.get(one.secret) is None]
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
        if missing:
            raise SecretError(context.missing(missing[0]), "mngdb up")
        begun = time.time()
        for one in new:
            going[one.secret] = Entry(
                *(one.secret, one.instance.name, one.name, "opening", begun, grace),
                now=now,
                together=all_of_them,
            )
        keep(context.stack.state, going.values())
        on_event(Progress("rotation", f"begun: {many(len(new), 'password')}"))


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
    if work.gone() or work.of("opening", "publishing", "withdrawing"):
        with _locked(context):
            work.end(work.gone())  # the next 'up' closes their logins
            work.open()
            work.publish()
    over = work.over(grace)
    if over or work.of("withdrawing"):
        with _locked(context):
            work.move(over, "withdrawing")
            work.withdraw()
    return Left(tuple(work.chosen()), work.errors, work.counts)


def go_back(context: Context, on_event: OnEvent, only: Collection[str]) -> list[Entry]:
    """Turn rotations around: what is not published yet ends, for the rest the password of before is
    published again. `advance` does the rest. Returns them. Raises UsageError where one cannot."""
    with _locked(context):
        work = _Work(context, on_event, only)
        late = [e for e in work.chosen() if e.phase == "withdrawing" and e.published is not None]
        if late:
            raise UsageError(
                f"{late[0].secret}: the old password is withdrawn already",
                "'mngdb rotate' with the same words finishes it",
            )
        work.turn()
        return work.chosen()


def going(context: Context) -> bool:
    """Whether there is something that `advance` would do or wait for. Raises UsageError."""
    work = _Work(context, lambda _: None)
    return bool(work.chosen() or work.gone())


def _locked(context: Context) -> AbstractContextManager[None]:
    context.vault.forget()
    return lock(context.stack.state / "lock", "rotate", _PATIENCE)


class _Work:
    """What goes on of a stack, and is chosen."""

    def __init__(
        self,
        context: Context,
        on_event: OnEvent,
        only: Collection[str] | None = None,
    ) -> None:
        self.context, self.on_event, self.only = context, on_event, only
        self.errors: dict[str, MngdbError] = {}
        self._down: dict[str, MngdbError] = {}
        """Instances that were asked in vain: they are not asked again."""
        self.counts: dict[str, int] = {}

    # --- the note

    def chosen(self) -> list[Entry]:
        """All of them that the file still has, as the note has them now."""
        return [one for one in self._noted() if self._known(one)]

    def gone(self) -> list[Entry]:
        """Those whose login left the file, and of which nothing more is needed: of an administrator
        the server may have either password until it is back."""
        gone = [one for one in self._noted() if not self._known(one)]
        return [e for e in gone if not (e.login == ADMIN and e.phase == "publishing")]

    def _noted(self) -> list[Entry]:
        every = entries(self.context.stack.state).values()
        return [one for one in every if self.only is None or one.secret in self.only]

    def of(self, *phases: Phase) -> list[Entry]:
        """Those in one of these phases."""
        return [one for one in self.chosen() if one.phase in phases]

    def move(self, which: Iterable[Entry], phase: Phase, **changes: object) -> list[Entry]:
        """Take note that they are in another phase."""
        return self._note([replace(one, phase=phase, **changes) for one in which])

    def _note(self, changed: list[Entry]) -> list[Entry]:
        if changed:
            state = self.context.stack.state
            keep(state, (entries(state) | {one.secret: one for one in changed}).values())
        return changed

    def end(self, which: Iterable[Entry]) -> None:
        """They are over: the vault forgets the passwords that are not current."""
        names = [one.secret for one in which]
        if not names:
            return
        self.context.vault.delete(names, ("previous", "pending"))
        state = self.context.stack.state
        keep(state, [one for name, one in entries(state).items() if name not in names])

    def _known(self, one: Entry) -> bool:
        """Whether the file still has the login."""
        instance = self.context.stack.instances.get(one.instance)
        return instance is not None and one.login in self.context.logins(instance)

    # --- phases

    def open(self) -> None:
        """New passwords let in beside those that do."""
        due = self.of("opening")
        self._make(due)
        ready = self._each(due, self._opened)
        self.move(ready, "publishing")

    def _make(self, due: Sequence[Entry]) -> None:
        """Put new secrets where a killed command has put none."""
        vault = self.context.vault
        there = vault.get_many([one.secret for one in due], "pending")
        new = {}
        for one in due:
            if one.secret in there:
                continue
            try:
                current = vault.get(one.secret)
            except SecretError as error:
                self.errors[one.secret] = error
                continue
            if current is None:
                self.errors[one.secret] = SecretError(self.context.missing(one.secret), "mngdb up")
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
        self._tell(instance, f"open {many(len(apps), 'login')}")
        refused = self._converge(self.context.asked(instance), apps)
        ready = [one for one in apps if one.secret not in refused]
        return {**refused, **self._tried(instance, ready)}

    def _tried(self, instance: Instance, apps: Sequence[Entry]) -> dict[str, MngdbError]:
        """Log in by the new passwords: what does not let in here is not published. Where the old
        one has leaked it is, on a server of ours: whoever knows that can refuse us the login for as
        long as they are in."""
        context, engine = self.context, self.context.engine(instance)
        found = context.vault.get_many([one.secret for one in apps], "pending")
        new = {one.login: found[one.secret].usable() or generate() for one in apps}
        asked = context.asked(instance)
        asked = replace(asked, secrets={**asked.secrets, **new})
        at = context.admin(asked)

        end = time.monotonic() + _SPREAD

        def log_in(one: Entry) -> MngdbError | None:
            while True:
                try:
                    with engine.connect(engine.login(asked, at, one.login), sessions.LOGIN):
                        return None
                except MngdbError as error:
                    kind = getattr(error, "kind", "down")
                    if one.now and instance.managed and kind not in {"down", "starting"}:
                        self._tell(instance, f"{one.login} could not be tried: {error.message}")
                        return None
                    if not instance.hosted or time.monotonic() > end:
                        return error
                stopping.sleep(1.0)

        with context.reach(instance), ThreadPoolExecutor(_THREADS) as pool:
            answers = zip(apps, pool.map(log_in, apps), strict=True)
            return {one.secret: error for one, error in answers if error is not None}

    def publish(self) -> None:
        """The new passwords become the current ones, all at once, and apps read them."""
        context, vault = self.context, self.context.vault
        ready = self._each(self.of("publishing"), self._changed)
        if not ready:
            return
        stopping.check()
        pending = vault.get_many([one.secret for one in ready], "pending")
        if pending:
            vault.promote([*pending])
        apps = {one.login for one in ready} & context.stack.apps.keys()
        failed = publish.each(context, [app for app in context.stack.apps if app in apps])
        self.errors |= {e.secret: failed[e.login] for e in ready if e.login in failed}
        self._write_secrets(ready)
        ready = self._each(ready, self._rewritten)
        for one in ready:
            audit.note(context.stack.state, "rotate", self._step(one))
        now = time.time()
        self.move([one for one in ready if one.single], "withdrawing", published=now)
        self.move([one for one in ready if not one.single], "waiting", published=now)
        if ready:
            self.on_event(Progress("rotation", f"published: {many(len(ready), 'password')}"))

    def _rewritten(self, instance: Instance, due: Sequence[Entry]) -> dict[str, MngdbError]:
        """Files that say by which login an app comes, of servers in containers."""
        if instance.contained:
            self._converger(self.context.asked(instance)).logins(())
        return {}

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
        self._tell(instance, f"change the password of {', '.join(new)}")
        refused = self._change(instance, new)
        if any(one.now and one.login in new for one in due):
            self._hang_up(instance, new)
        return {one.secret: refused[one.login] for one in due if one.login in refused}

    def _hang_up(self, instance: Instance, new: Mapping[str, Secret]) -> None:
        """What old passwords of the administrator and the monitor opened ends, before anybody
        knows the new ones. Where the server does not allow that, people are told."""
        asked = self.context.asked(instance)
        asked = replace(asked, secrets={**asked.secrets, **new})
        try:
            sessions.end_others(self.context, asked, new.keys())
        except MngdbError as error:
            text = f"sessions of the old password of {', '.join(new)} go on: {error.message}"
            self._tell(instance, text)

    def _change(self, instance: Instance, new: Mapping[str, Secret]) -> dict[str, StepError]:
        """Give the administrator and the monitor these passwords, whichever they have. Returns by
        login what was refused."""
        asked = self.context.asked(instance)
        admin = new.get(ADMIN)
        if admin is not None and asked.secrets[ADMIN] != admin:
            self._converger(asked).change_admin(admin)
        asked = replace(asked, secrets={**asked.secrets, **new})
        return self._converger(asked).logins(new.keys() - {ADMIN})

    def over(self, grace: float | None) -> list[Entry]:
        """Those that nobody waits for any more: no session of the old password is left, or the
        limit has passed."""
        waiting = self.of("waiting")
        settled = SETTLE + (0.0 if self.context.vault.folder else _REREAD)
        limits = {one.secret: one.grace if grace is None else grace for one in waiting}
        done = [one for one in waiting if one.now or one.passed() >= limits[one.secret]]
        rest = [one for one in waiting if one not in done and one.passed() >= settled]

        def look(instance: Instance, some: Sequence[Entry]) -> dict[str, MngdbError]:
            self.counts |= sessions.old(self.context, instance, some)
            return {}

        seen = self._each(rest, look)
        return done + [one for one in seen if self.counts.get(one.secret) == 0]

    def withdraw(self) -> None:
        """The old passwords let nobody in any more, and what they let in ends."""
        done = self._each(self.of("withdrawing"), self._withdrawn)
        self.end(done)
        if done:
            self.on_event(Progress("rotation", f"over: {many(len(done), 'password')}"))

    def _withdrawn(self, instance: Instance, due: Sequence[Entry]) -> dict[str, MngdbError]:
        apps = [one for one in due if not one.single]
        if not apps:
            return {}
        self._tell(instance, f"withdraw {many(len(apps), 'old password')}")
        refused = self._converge(self.context.asked(instance), apps)
        gone = [one for one in apps if one.secret not in refused]
        sessions.end_doubtful(self.context, instance, gone)
        return refused

    def turn(self) -> None:
        """Go back, see `go_back`."""
        vault, chosen = self.context.vault, self.chosen()
        names = [one.secret for one in chosen]
        pending, previous = (vault.get_many(names, v) for v in ("pending", "previous"))
        early = [one for one in chosen if one.phase == "opening" or one.secret in pending]
        late = [one for one in self.of("publishing", "waiting") if not (one in early or one.back)]
        if early:
            if len(self._each(early, self._unchanged)) < len(early):
                raise next(iter(self.errors.values()))
            vault.delete([one.secret for one in early], ("pending",))
            self.move(early, "withdrawing", back=True)
        before = {}
        for one in late:
            entry = previous.get(one.secret)
            old = entry.usable() if entry else None
            if old is None:
                raise SecretError(f"{one.secret}: the password of before is not in the vault")
            before[one.secret] = old
        if before:
            vault.put(before, "pending")
        self._note([replace(e, phase="publishing", back=True, until=e.published) for e in late])

    def _unchanged(self, instance: Instance, due: Sequence[Entry]) -> dict[str, MngdbError]:
        """Logins with one password have the current one again."""
        current = {
            one.login: secret
            for one in due
            if one.single and one.phase == "publishing"
            if (secret := self.context.vault.get(one.secret)) is not None
        }
        refused = self._change(instance, current) if current else {}
        return {one.secret: refused[one.login] for one in due if one.login in refused}

    # --- instances

    def _each(
        self,
        due: Sequence[Entry],
        job: Callable[[Instance, Sequence[Entry]], dict[str, MngdbError]],
    ) -> list[Entry]:
        """Do something for each instance, side by side, but for what has gone wrong before; `job`
        returns what goes wrong. Returns those for which nothing did."""
        instances = self.context.stack.instances
        due = [one for one in due if one.secret not in self.errors]
        groups = {
            name: [one for one in due if one.instance == name]
            for name in dict.fromkeys(one.instance for one in due)
            if name not in self._down
        }
        results = workers.together(
            {name: instances[name] for name in groups},
            lambda instance, _: job(instance, groups[instance.name]),
            self.on_event,
        )
        self._down |= {name: one.error for name, one in results.items() if one.error is not None}
        for one in due:
            if one.instance in self._down:
                self.errors[one.secret] = self._down[one.instance]
        for result in results.values():
            self.errors |= result.value or {}
        return [one for one in due if one.secret not in self.errors]

    def _converge(self, asked: DesiredInstance, apps: Sequence[Entry]) -> dict[str, MngdbError]:
        """Bring both logins of these apps to what is asked. Returns what was refused."""
        names = [name for one in apps for name in (one.login, one.login + SECOND)]
        refused = self._converger(asked).logins(names)
        return {one.secret: refused[one.login] for one in apps if one.login in refused}

    def _converger(self, asked: DesiredInstance) -> Converger[Any, Any]:
        state = self.context.stack.state

        def tell(event: object) -> None:
            if isinstance(event, Done):
                audit.note(state, "rotate", event.step, event.error)

        return self.context.target(asked.instance).converger(asked, tell)

    def _write_secrets(self, changed: Sequence[Entry]) -> None:
        """Files that containers read, and what runs beside servers by the monitor's password."""
        context = self.context
        names = {one.name for one in context.stack.instances.values() if one.contained}
        if not names:
            return
        asked = context.all_asked(only=names)
        for servers in context.servers():
            servers.write_secrets(context.there(asked, servers))
        due = {one.instance for one in changed if one.login == MONITOR}
        for sidecars in context.sidecars() if due else ():
            for step in sidecars.steps():
                if step.instance in due and step.action == "restart":
                    step.run(None)

    def _tell(self, instance: Instance, text: str) -> None:
        self.on_event(Progress(instance.unit, text))
