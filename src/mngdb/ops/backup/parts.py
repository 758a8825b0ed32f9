"""`restore --table` and the like: a part of an instance's data, back in the live server.

It is taken from a disposable server that is restored to the moment and removed afterwards.
"""

from __future__ import annotations

import secrets
import time

from msgspec import Struct
from msgspec.structs import replace

from mngdb.engines.protocol import C, Engine, F, S
from mngdb.errors import MngdbError, UsageError
from mngdb.events import Meter
from mngdb.model import Step
from mngdb.ops import audit
from mngdb.ops.backup import hosted
from mngdb.ops.backup.reach import Aim
from mngdb.ops.backup.restored import alone, sweep
from mngdb.ops.backup.tried import Tell
from mngdb.ops.context import Context
from mngdb.part import Agree, Brought, Part
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance

#: In the stack's own folder: what parts are taken from.
FOLDER = "parts"
#: Seconds that a server may take to let us in.
_TIMEOUT = 30.0


class Returned(Struct, frozen=True):
    """A part that was brought back. `seconds` for all of it."""

    instance: str
    engine: str
    snapshot: str
    restored_to: float
    part: Part
    brought: Brought
    seconds: float


def check(context: Context, instance: Instance, part: Part) -> None:
    """Raise UsageError where the engine has no such parts."""
    known = context.engine(instance).parts
    if part.kind not in known:
        options = ", ".join(f"--{one}" for one in sorted(known))
        title = ENGINE_INFO[instance.engine].title
        raise UsageError(
            f"--{part.kind} is not for {title}, which {instance.name} is",
            f"parts of {title}: {options}" if options else "restore it beside",
        )


def bring_back(context: Context, aim: Aim, part: Part, agree: Agree, tell: Tell) -> Returned:
    """Bring a part back as it was then. `agree` is told what will be done before the live server is
    changed, and may raise. What a killed command left is removed first. Raises MngdbError."""
    instance = context.instance(aim.instance)
    check(context, instance, part)

    def work(engine: Engine[S, F, C]) -> Returned:
        return _brought(engine, context, aim, part, agree, tell)

    with alone(context, FOLDER, instance.name):
        sweep(context, FOLDER, instance.name)
        return work(context.engine(instance))


def _brought(
    engine: Engine[S, F, C], context: Context, aim: Aim, part: Part, agree: Agree, tell: Tell
) -> Returned:
    begun = time.monotonic()
    instance = context.instance(aim.instance)
    live = context.as_admin(instance)
    access = context.admin(live)
    part = replace(part, moment=aim.moment)
    with context.reach(instance), engine.connect(access, _TIMEOUT) as target:
        part = replace(part, renamed=engine.named(target, live, part))
    state = context.stack.state / FOLDER / f"{aim.key}-{secrets.token_hex(2)}"
    scratch = hosted.begin(context, aim, state, role="source")
    try:
        asked = scratch.make(tell, closed=True)
        with (
            scratch.session(asked) as source,
            context.reach(instance),
            engine.connect(access, _TIMEOUT) as target,
        ):
            work = _Work(context, instance, aim, part, agree, tell)
            with work:
                found = engine.bring(source, target, asked, part, work.agree, work.took)
    finally:
        scratch.remove()
    return Returned(
        instance=instance.name,
        engine=instance.engine,
        snapshot=aim.manifest.id,
        restored_to=aim.moment,
        part=part,
        brought=found,
        seconds=time.monotonic() - begun,
    )


class _Work:
    """Tells of what is brought, and notes what was done in the live server, or failed there."""

    def __init__(
        self,
        context: Context,
        instance: Instance,
        aim: Aim,
        part: Part,
        agree: Agree,
        tell: Tell,
    ) -> None:
        self._state = context.stack.state
        self._step: Step[None] = Step(
            *(instance.name, instance.engine, "create"),
            f"{part.kind} {part.renamed or part.text}",
            f"{part.text} of {aim.text}",
            lambda _: None,
        )
        self._agree = agree
        self._tell = tell
        self._meter: Meter | None = None

    def agree(self, plan: Brought) -> None:
        """See `bring_back`."""
        self._agree(plan)
        if plan.overwrites:
            self._step = replace(self._step, action="change")
        self._meter = Meter(self._step.instance, self._tell, plan.counts.get("bytes", 0))

    def took(self, size: int) -> None:
        """So many bytes more were brought."""
        assert self._meter is not None  # noqa: S101 — for mypy
        self._meter(size, size)

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._meter is None:
            return  # nothing was begun
        told = error.message if isinstance(error, MngdbError) else "interrupted"
        audit.note(self._state, "restore", self._step, told if error is not None else "")
