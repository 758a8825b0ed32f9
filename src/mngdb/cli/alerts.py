"""alerts: active alerts, the rules, and a test of a channel."""

from __future__ import annotations

import time

import click

from mngdb.cli.common import Options, common, say, say_json, tell
from mngdb.cli.layout import table
from mngdb.cli.lazy import Elsewhere
from mngdb.words import span

_COLOURS = {"critical": "red", "warning": "yellow", "info": "cyan"}


@click.group(cls=Elsewhere, invoke_without_command=True)
@common
@click.pass_context
def alerts(ctx: click.Context, options: Options) -> int | None:
    """Show active alerts. Exits 1 if one is firing, 3 if some rules could not be evaluated."""
    return None if ctx.invoked_subcommand else _now(options)


def _now(options: Options) -> int:
    from mngdb.ops.alerts_now import now

    context = options.context()
    found = now(context)
    if options.json:
        say_json(
            {
                "stack": context.stack.name,
                "agent": found.agent,
                "alerts": [alert.as_json() for alert in found.alerts],
                "unknown": [name for names in found.unknown.values() for name in names],
                "reasons": {why: list(names) for why, names in found.unknown.items()},
                "unreachable": {why: list(names) for why, names in found.unreachable.items()},
                "unmeasured": list(found.unmeasured),
            }
        )
    elif found.alerts:
        rows = [
            (
                alert.severity,
                alert.state,
                alert.name,
                span(time.time() - alert.since) if found.agent else "-",
                alert.summary,
            )
            for alert in found.alerts
        ]
        for line in table(("SEVERITY", "STATE", "ALERT", "FOR", "WHAT"), rows):
            severity = line.split(maxsplit=1)[0]
            say(line.replace(severity, click.style(severity, fg=_COLOURS.get(severity)), 1))
    else:
        say(
            "no active alerts among the rules that could be evaluated"
            if found.unreachable
            else "no active alerts"
        )
    if not found.agent:
        tell("no recent evaluation by the agent: evaluated once, just now; durations are unknown")
    if found.running:
        tell("the agent runs: 'mngdb logs agent' says why its evaluation cannot be read")
    for why, names in found.unreachable.items():
        tell(f"{why}: the state of {', '.join(names)} is unknown")
    for why, names in found.unknown.items():
        tell(f"not evaluated, {why}: {', '.join(names)}")
    if found.unmeasured:
        tell(f"not measured without an agent: {', '.join(found.unmeasured)}")
    if any(alert.state == "firing" for alert in found.alerts):
        return 1
    return 3 if found.unknown else 0


@alerts.command("rules")
@common
def rules_command(options: Options) -> None:
    """List the alert rules of the stack, with the changes that the file makes."""
    from mngdb.ops.alerts import rules

    context = options.context()
    found = [rule.as_json() for rule in rules(context)]
    if options.json:
        say_json({"stack": context.stack.name, "rules": found})
        return
    rows = [
        (str(r["severity"]), str(r["name"]), str(r["for"]), str(r["expression"])) for r in found
    ]
    for line in table(("SEVERITY", "RULE", "FOR", "CONDITION"), rows):
        say(line)


@alerts.command("test")
@click.argument("channel")
@common
def test_command(options: Options, channel: str) -> None:
    """Send a test message to CHANNEL, and report why if it cannot be delivered."""
    from mngdb.ops.alerts import test

    context = options.context()
    test(context, channel)
    done = {"stack": context.stack.name, "channel": channel, "sent": True}
    options.say(done, f"{channel} accepted the test message")
