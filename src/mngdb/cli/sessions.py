"""sessions and connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mngdb.cli.common import Options, common, say, say_json, tell, tell_errors
from mngdb.cli.layout import shortened, table
from mngdb.words import span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mngdb.facts.sessions import Sessions

_WIDTH = 60
#: States of sessions that do nothing: --all shows them.
_QUIET = ("idle", "heartbeat")


@click.command()
@click.argument("instance", required=False)
@click.option("--all", "everything", is_flag=True, help="Also show idle sessions and heartbeats.")
@click.option("--no-text", is_flag=True, help="Show the kind of each statement, not its text.")
@common
def sessions(options: Options, instance: str | None, everything: bool, no_text: bool) -> int:
    """Show who is connected, and what is running, on every server or on INSTANCE."""
    found, code = _ask(options, instance, text=not no_text)
    if options.json:
        return code
    rows = []
    idle = 0
    for name, one in found.items():
        for s in sorted(one.sessions, key=lambda s: (s.state in _QUIET, -s.seconds)):
            if s.state in _QUIET and not everything:
                idle += 1
                continue
            doing = shortened(s.doing, _WIDTH)
            rows.append((name, s.id, s.app, s.database, s.client, s.state, span(s.seconds), doing))
    if rows:
        head = ("INSTANCE", "ID", "APP", "DATABASE", "CLIENT", "STATE", "FOR", "WHAT")
        for line in table(head, rows):
            say(line)
    elif found:  # where no server answered, it is unknown
        say("no active sessions")
    if idle:
        tell(f"{idle} idle; --all shows them")
    return code


@click.command()
@click.argument("instance", required=False)
@common
def connections(options: Options, instance: str | None) -> int:
    """Show who holds how many connections, and what to change."""
    from mngdb.facts.sessions import advice, holders

    found, code = _ask(options, instance, summary=True)
    if options.json:
        return code
    rows = []
    for name, one in found.items():
        rows += [
            (
                name,
                holder.app or "not logged in",
                f"{holder.count} of {holder.limit}",
                str(holder.idle),
                span(holder.longest) if holder.idle else "-",
                _origins(holder.clients),
            )
            for holder in holders(one)
        ]
    head = ("INSTANCE", "APP", "HOLDS", "IDLE", "LONGEST", "FROM")
    for line in table(head, rows) if rows else ():
        say(line)
    if found and not rows:
        say("no app is connected")
    for name, one in found.items():
        for text in advice(one):
            say(click.style(f"{name}: {text}", fg="yellow"))
    return code


def _origins(clients: Sequence[str]) -> str:
    """Addresses, each once, with what clients there call themselves; the first three."""
    from ipaddress import ip_address

    by: dict[str, list[str]] = {}
    for one in clients:
        host, _, name = one.partition(" ")
        try:
            ip_address(host)
        except ValueError:  # a socket's client has a name at most
            host, name = one, ""
        by.setdefault(host, []).extend([name] if name else [])
    shown = [f"{host} ({', '.join(names[:3])})" if names else host for host, names in by.items()]
    return ", ".join(shown[:3]) + (" …" if len(shown) > 3 else "")


def _ask(
    options: Options, instance: str | None, summary: bool = False, text: bool = True
) -> tuple[dict[str, Sessions], int]:
    """The sessions by instance, and the exit code: 3 when a server could not be asked."""
    from msgspec import to_builtins

    from mngdb.facts.sessions import advice, holders
    from mngdb.ops.sessions import sessions as look
    from mngdb.ops.workers import apart

    context = options.context()
    found, refused = apart(look(context, instance))
    if not text:
        found = {name: one.without_text() for name, one in found.items()}
    if options.json:
        shown: list[dict[str, Any]] = []
        for name, one in found.items():
            more: dict[str, Any] = (
                {
                    "limit": one.limit,
                    "in_use": len(one.sessions),
                    "holders": [to_builtins(holder) for holder in holders(one)],
                    "advice": advice(one),
                }
                if summary
                else one.as_json()
            )
            shown.append({"instance": name, **more})
        shown += [{"instance": name, "error": e.message} for name, e in refused.items()]
        say_json({"stack": context.stack.name, "instances": shown})
    return found, tell_errors(refused)
