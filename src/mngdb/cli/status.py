"""status: what runs where, and what could be restored."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from mngdb.cli.common import Options, common, say, say_json, size, tell
from mngdb.cli.layout import table
from mngdb.cli.stack import unit_table
from mngdb.words import span

if TYPE_CHECKING:
    from mngdb.errors import SecretError
    from mngdb.ops.backup.glance import Glance
    from mngdb.ops.backup.growth import Growth
    from mngdb.ops.backup.restored import Beside
    from mngdb.ops.context import Context
    from mngdb.ops.status import UnitStatus


#: Seconds from one look to the next.
_EVERY = 2.0


@click.command()
@click.argument("instances", metavar="[INSTANCE]...", nargs=-1)
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@common
def status(options: Options, instances: tuple[str, ...], watch: bool) -> int:
    """Show what is running where, and whether it answers a query of a real user. For containers,
    also exporters and the services behind RedisInsight. Exit 1 also for a login's secret that
    cannot be used. With INSTANCE, only these servers."""
    from mngdb.errors import UsageError

    if not watch:
        return _status(options, instances)
    if options.json:
        raise UsageError("--json and --watch cannot be used together", "omit one of them")
    try:
        while True:
            if sys.stdout.isatty():
                click.clear()
            say(time.strftime("%H:%M:%S"))
            _status(options, instances)
            time.sleep(_EVERY)
    except KeyboardInterrupt:
        return 0


def _status(options: Options, instances: tuple[str, ...]) -> int:
    from mngdb.ops import paid
    from mngdb.ops import status as ops
    from mngdb.ops.backup import keys
    from mngdb.ops.choice import choose
    from mngdb.ops.rotate import report as rotation

    context = options.context()
    choice = choose(context, instances)
    units, bad = ops.status(context, choice), ops.bad_secrets(context, choice)
    if not choice.whole:
        return _some(options, context.stack.name, units, bad)
    services = ops.services(context)
    backups, store, beside = _backups(context), _store(context), _beside(context)
    wrong, going = keys.problems(context), rotation.going(context)
    costly = paid.told(context)
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "units": [unit.as_json() for unit in units],
                "secrets": _secrets_json(bad),
                "services": [service.as_json() for service in services],
                "backups": [one.as_json() for one in backups],
                "backup_secrets": [asdict(one) for one in wrong],
                "store": None if store is None else store.as_json(),
                "restored": [asdict(one) for one in beside],
                "rotations": [asdict(one) for one in going],
                "costly": [asdict(one) for one in costly],
            }
        )
    else:
        for line in unit_table(units, services):
            say(line)
        for line in rotation.lines(going):
            tell(line)
        _say_backups(backups)
        if store is not None:
            say(_said(store))
        for problem in wrong:
            tell(problem.text)
            tell(f"  hint: {problem.hint}")
        for one in beside:
            say(f"{one.unit}  {one.instance} restored to {one.restored_to}, at {one.address}")
        if beside:
            tell("'mngdb restore --forget' removes restored servers")
        for notice in costly:
            tell(f"{notice.instance}: {notice.text}")
            tell(f"  hint: {notice.hint}")
        _say_troubles(units, bad)
        if any(unit.state in {"stopped", "absent"} for unit in units):
            tell("'mngdb up' starts stopped units")
        for service in services:
            if service.problem:
                tell(f"{service.name} {service.problem}")
        _say_advisories(units)
    healthy = [
        *(one.healthy and not one.warning for one in units),
        *(one.healthy for one in services),
    ]
    return 0 if all(healthy) and not bad else 1


def _some(
    options: Options, stack: str, units: list[UnitStatus], bad: Mapping[str, SecretError]
) -> int:
    """Of those servers that were named alone."""
    if options.json:
        shown = [unit.as_json() for unit in units]
        say_json({"stack": stack, "units": shown, "secrets": _secrets_json(bad)})
    else:
        for line in unit_table(units):
            say(line)
        _say_troubles(units, bad)
        _say_advisories(units)
    return 0 if all(one.healthy and not one.warning for one in units) and not bad else 1


def _secrets_json(bad: Mapping[str, SecretError]) -> list[dict[str, str | None]]:
    """Shaped as the secrets of backups are."""
    return [
        {"secret": name, "text": error.message, "hint": error.hint} for name, error in bad.items()
    ]


def _say_troubles(units: Sequence[UnitStatus], bad: Mapping[str, SecretError]) -> None:
    for wrong in bad.values():
        tell(wrong.message)
        if wrong.hint:
            tell(f"  hint: {wrong.hint}")
    for unit in units:
        if unit.warning:
            tell(unit.warning)
            if unit.warning_hint:
                tell(f"  hint: {unit.warning_hint}")
    said = {one.message for one in bad.values()}
    for (error, hint), names in _errors(units).items():
        if error in said:
            continue
        named = error.startswith(f"{names[0]} ")
        tell(error if named else f"{', '.join(names)}: {error}")
        if hint:
            tell(f"  hint: {hint}")


def _say_advisories(units: Sequence[UnitStatus]) -> None:
    from mngdb.facts.patch_levels import newer

    for unit in units:
        if unit.advisories and unit.version:
            why = newer(unit.product, unit.version)
            tell(f"{unit.name}: {unit.version} {why} ({', '.join(unit.advisories)})")


def _errors(units: Sequence[UnitStatus]) -> dict[tuple[str, str | None], list[str]]:
    """Error and hint to the units that have it: one cause is told once."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for unit in units:
        if unit.error:
            found.setdefault((unit.error, unit.hint), []).append(unit.name)
    return found


def _backups(context: Context) -> list[Glance]:
    if context.stack.backup is None:
        return []
    from mngdb.ops.backup.glance import glance
    from mngdb.ops.backup.kept import renew

    for name, error in renew(context).items():
        tell(f"{name}: its backups could not be looked at: {error.message}")
    return glance(context)


def _store(context: Context) -> Growth | None:
    if context.stack.backup is None:
        return None
    from mngdb.ops.backup.growth import growth

    return growth(context.stack.state)


def _beside(context: Context) -> list[Beside]:
    from mngdb.ops.backup import place

    if not (context.stack.state / place.RESTORED).is_dir():
        return []
    from mngdb.ops.backup.restored import listing

    return listing(context)


def _said(store: Growth) -> str:
    """What the backups take, how that grows, and how long that goes on."""
    found = [f"backups take {size(store.newest.stored)}"]
    if store.rate is not None:
        day = round(store.rate * 86_400)
        found.append(f"{'+' if day >= 0 else '-'}{size(abs(day))} a day")
    if store.newest.free is not None:
        found.append(f"{size(store.newest.free)} free on their disk")
    if store.full is not None:
        found.append(f"full in {span(store.full)}")
    return ", ".join(found)


def _say_backups(backups: Sequence[Glance]) -> None:
    """What could be restored now, by instance."""
    if not backups:
        return

    def ago(seconds: float | None) -> str:
        return "never" if seconds is None else f"{span(seconds)} ago"

    rows = [
        (
            *(
                one.instance,
                one.mode or one.keeper or "-",
                ago(one.recovery_point),
                ago(one.snapshot),
                ago(one.proved),
            ),
            "-" if one.rto is None else f"{one.rto:.1f} s",
        )
        for one in backups
    ]
    say("")
    heads = ("BACKUP OF", "MODE", "RECOVERY POINT", "SNAPSHOT", "PROVED", "RESTORED IN")
    for line in table(heads, rows):
        say(line)
    for one in backups:
        if one.error:
            tell(f"{one.instance}: {one.error}")
