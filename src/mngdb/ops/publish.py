"""What apps read: the variables of `mngdb env APP`, as one document in the vault for each app."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator

from mngdb import disk
from mngdb.errors import AbsentError, MngdbError, of_system
from mngdb.model import Step
from mngdb.ops.context import Context
from mngdb.ops.variables import signing, variables
from mngdb.spec.vault import JWT
from mngdb.words import many

#: Who owns the steps, as `plan` names it, and what they are about.
VAULT, _KIND = "vault", "settings"


def readers(context: Context) -> list[str]:
    """Whom something is published for: apps, and who reads the document of the signing keys."""
    return [*context.stack.apps, *([JWT] if context.stack.source.jwt else [])]


def settings(context: Context, app: str) -> dict[str, str]:
    """What an app reads. Made-up secrets stand where the vault has none: enough to plan with.
    Raises UsageError."""
    if app == JWT:
        keys = signing(context, JWT)
        return {name.removeprefix("JWT_").lower(): key for name, key in keys.items()}
    return variables(context, app)


def steps(
    context: Context, apps: Iterable[str] | None = None, made: Collection[str] = ()
) -> Iterator[Step[None]]:
    """Publish the settings of those of the apps (default: all) that read others now; with all,
    remove those of apps that left the file. `made`: secrets that are yet to be made, of a plan.
    None where the vault cannot publish. Raises SecretError, UsageError."""
    if not context.vault.writable:
        return
    chosen = readers(context) if apps is None else [*apps]
    for _, step in _changes(context, chosen, made):
        yield step
    if apps is None:
        for app in sorted(_noted(context) - {*chosen}):
            yield _unpublish(context, app)


def _changes(
    context: Context, chosen: Iterable[str], made: Collection[str] = ()
) -> Iterator[tuple[str, Step[None]]]:
    """What to publish, with whom it is for."""
    chosen = [*chosen]
    found = context.vault.published(chosen)
    for app in chosen:
        if app in context.stack.apps and not context.knows(app, made):
            continue  # it has a password that others gave it
        try:
            wanted, now = settings(context, app), found.get(app)
        except AbsentError:
            continue  # nobody knows the address of a server that a provider has yet to make
        if wanted != now:
            yield app, _publish(context, app, wanted, now)


def each(context: Context, apps: Iterable[str]) -> dict[str, MngdbError]:
    """Publish the settings of those of the apps that read others now, each by itself. Returns by
    app what could not be published. Raises SecretError, UsageError."""
    failed = {}
    for app, step in _changes(context, apps):
        try:
            step.run(None)
        except (MngdbError, OSError) as error:
            failed[app] = of_system(error)
    return failed


def publish(context: Context, apps: Iterable[str] | None = None) -> list[Step[None]]:
    """Take these steps, and return them. Raises SecretError, UsageError, OSError."""
    taken = list(steps(context, apps))
    for step in taken:
        step.run(None)
    return taken


def _publish(
    context: Context, app: str, wanted: dict[str, str], now: dict[str, str] | None
) -> Step[None]:
    def run(_: None) -> None:
        # first: what was published is known to whoever has to remove it
        _note(context, _noted(context) | {app})
        # asked for again: of a plan, secrets may be made up
        context.vault.publish(app, settings(context, app))

    what = f"settings of {app}"
    if now is None:
        detail = f"{many(len(wanted), 'variable')} for mngdb.client"
        return Step(VAULT, VAULT, "create", what, detail, run, app=app, kind=_KIND)
    names = ", ".join(sorted(n for n in wanted.keys() | now if wanted.get(n) != now.get(n)))
    return Step(VAULT, VAULT, "change", what, names, run, app=app, kind=_KIND)


def _unpublish(context: Context, app: str) -> Step[None]:
    def run(_: None) -> None:
        context.vault.unpublish(app)
        _note(context, _noted(context) - {app})

    return Step(VAULT, VAULT, "drop", f"settings of {app}", "the app left the file", run)


def _noted(context: Context) -> frozenset[str]:
    """Apps whose settings were published. A damaged note is none: theirs stay in the vault."""
    try:
        found = json.loads(disk.read_own(context.stack.state / "published.json") or "[]")
        return frozenset(str(app) for app in found)
    except (ValueError, TypeError, RecursionError):
        return frozenset()


def _note(context: Context, apps: frozenset[str]) -> None:
    if apps != _noted(context):
        disk.write(context.stack.state / "published.json", json.dumps(sorted(apps)) + "\n")
