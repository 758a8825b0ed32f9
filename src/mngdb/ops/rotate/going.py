"""Which rotations go on, and what went wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec.structs import replace

from mngdb.errors import MngdbError
from mngdb.ops import workers
from mngdb.ops.context import Context
from mngdb.ops.rotate.note import ADMIN, Entry, Phase, entries, keep
from mngdb.spec.stack import Instance

OnEvent = Callable[[object], None]


class Going:
    """What goes on of a stack, and is chosen: the note of it, read anew each time."""

    def __init__(
        self, context: Context, on_event: OnEvent, only: Collection[str] | None = None
    ) -> None:
        """`only` some, by the vault's names."""
        self.context, self.on_event, self.only = context, on_event, only
        self.errors: dict[str, MngdbError] = {}
        """By the vault's names."""
        self._down: dict[str, MngdbError] = {}
        """Instances that were asked in vain: they are not asked again."""

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
        return self.note([replace(one, phase=phase, **changes) for one in which])

    def note(self, changed: list[Entry]) -> list[Entry]:
        """Keep them as they are now."""
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

    def each(
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
