"""The keys for JSON Web Tokens: which apps get, and how they are replaced."""

from __future__ import annotations

import time

from msgspec import Struct

from mngdb.errors import UsageError
from mngdb.lock import lock
from mngdb.ops import publish
from mngdb.ops.context import Context
from mngdb.secret import generate
from mngdb.spec.jwt import CURRENT, PREVIOUS, Jwt
from mngdb.spec.units import format_duration


class Rotated(Struct, frozen=True):
    """What a rotation did: the apps whose settings are others now, and until when the key of before
    verifies tokens, in seconds since the epoch (None: there was none)."""

    apps: tuple[str, ...]
    until: float | None


def rotate(context: Context, *, force: bool = False) -> Rotated:
    """Make the current key the previous one, and a new one the current, in one write where the
    vault can; interrupted, the same command does it again. Raises UsageError where the previous
    key is still needed, unless `force`; SecretError."""
    spec = _spec(context)
    context.missing_secrets(())  # told before anything is changed
    context.claim()
    with lock(context.stack.state / "lock", "secrets rotate jwt"):
        context.vault.forget()
        known = context.vault.get_many([CURRENT, PREVIOUS])
        before = known[CURRENT].usable() if CURRENT in known else None
        left = _left(context, spec)
        if left > 0 and not force and known[PREVIOUS].secret != before:
            raise UsageError(
                "the previous key is still needed for tokens that it signed "
                f"({left / 3600:.1f} h more; keep: {format_duration(spec.keep)})",
                "wait, or --force: such tokens become invalid",
            )
        if before is None:
            context.make_secrets([CURRENT])
        else:
            # in this order: where each is a write of its own, none is lost in between
            context.vault.put({PREVIOUS: before, CURRENT: generate()})
        context.vault.forget()
        apps = _published(context)
    until = time.time() + spec.keep.total_seconds() if before is not None else None
    return Rotated(apps, until)


def due(context: Context) -> bool:
    """Whether the file's schedule asks for a new key, or the previous one is to be withdrawn."""
    spec = context.stack.source.jwt
    if spec is None or not context.vault.writable:
        return False
    there = PREVIOUS in context.vault.get_many([PREVIOUS])
    return _old(context, spec) or (there and not _left(context, spec))


def tend(context: Context) -> Rotated | None:
    """Do what is due. None: nothing was."""
    spec = _spec(context)
    if not due(context):
        return None
    if _old(context, spec):
        return rotate(context)
    with lock(context.stack.state / "lock", "secrets rotate jwt"):
        context.vault.delete([PREVIOUS], ("current",))
        return Rotated(_published(context), None)


def _spec(context: Context) -> Jwt:
    spec = context.stack.source.jwt
    if spec is None:
        raise UsageError("the file has no 'jwt:'", "jwt: {apps: [APP]}")
    return spec


def _age(context: Context) -> float:
    entry = context.vault.get_many([CURRENT]).get(CURRENT)
    return time.time() - entry.changed if entry and entry.changed else 0.0


def _old(context: Context, spec: Jwt) -> bool:
    return bool(spec.rotate) and _age(context) > spec.rotate.total_seconds()


def _left(context: Context, spec: Jwt) -> float:
    """Seconds for which the previous key is needed; 0: there is none, or no more."""
    if PREVIOUS not in context.vault.get_many([PREVIOUS]):
        return 0.0
    return max(0.0, spec.keep.total_seconds() - _age(context))


def _published(context: Context) -> tuple[str, ...]:
    steps = publish.publish(context)
    return tuple(step.object.removeprefix("settings of ") for step in steps)
