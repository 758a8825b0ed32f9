"""The alerts, the scrape configuration and the dashboards as files for other tools."""

from __future__ import annotations

import re
from ipaddress import ip_address

from mngdb.alerts import alertmanager, grafana, prometheus
from mngdb.alerts.prometheus import Scrape
from mngdb.errors import UsageError
from mngdb.ops import alerts
from mngdb.ops.context import Context
from mngdb.spec.alerts import secret_of
from mngdb.spec.engine_info import ENGINE_INFO

RULES = "rules/mngdb.yml"
_HOST_PORT = r"([A-Za-z0-9_.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}"


def prometheus_files(context: Context, at: str | None = None) -> dict[str, str]:
    """prometheus.yml and the rules. `at` is Alertmanager's HOST:PORT. Raises UsageError."""
    if at is not None and not re.fullmatch(_HOST_PORT, at):
        raise UsageError(
            f"{at[:80]!r} is not the HOST:PORT of an Alertmanager",
            "for example: --alertmanager 127.0.0.1:9093",
        )
    found = scrapes(context)
    head = f"# Written by mngdb for a Prometheus {_place(context)}.\n"
    return {
        "prometheus.yml": head + prometheus.configuration(found, context.stack.name, at, RULES),
        RULES: prometheus.rules(alerts.rules(context), context.stack.name),
    }


def alertmanager_files(context: Context, secrets: str | None = None) -> dict[str, str]:
    """alertmanager.yml. `secrets` is the folder where Alertmanager finds the channels' secrets;
    without it, the vault's own where that is a folder."""
    asked = context.stack.source.alerts

    def path(channel: str) -> str:
        name = secret_of(channel)
        if secrets is not None or context.vault.folder is None:
            return f"{secrets or '/run/secrets'}/{name}"
        return context.vault.where(name)

    text = alertmanager.configuration(asked, alerts.rules(context), context.stack.name, path)
    return {"alertmanager.yml": text}


def grafana_files(context: Context) -> dict[str, str]:
    """The dashboards."""
    engines = {instance.engine for instance in alerts.measured(context)}
    agent = context.stack.agent is not None
    return grafana.dashboards(context.stack.name, engines, agent=agent)


def scrapes(context: Context) -> list[Scrape]:
    """Whom Prometheus asks. All of them are within reach of one place: an agent that listens on
    loopback is asked about containers, too, whose exporters are not on this machine's network."""
    agent = context.stack.agent
    near = _near(context)
    found: list[Scrape] = []
    first: dict[str, str] = {}
    for instance in context.stack.monitored:
        first.setdefault(instance.engine, instance.name)
    for instance in alerts.measured(context):
        name, engine = instance.name, instance.engine
        sidecars = context.target(instance).sidecars
        if sidecars is not None and instance.monitored and not near:
            address = sidecars.exporter(instance, ENGINE_INFO[engine].metrics.port)
            found.append(Scrape(engine, name, address, member=instance.unit))
        elif agent is not None and instance.monitored:
            path = "/metrics" if first[engine] == name else f"/metrics/{name}"
            address = _at(agent.bind, agent.ports.of(engine))
            found.append(Scrape(engine, name, address, path, instance.unit))
    if agent is not None:
        found.append(Scrape("mngdb", context.stack.name, _at(agent.bind, agent.ports.mngdb)))
    return found


def _near(context: Context) -> bool:
    """Whether there is an agent that this machine alone reaches."""
    agent = context.stack.agent
    return agent is not None and ip_address(agent.bind).is_loopback


def _place(context: Context) -> str:
    """Where a Prometheus has to run to reach all of them."""
    agent = context.stack.agent
    if agent is not None and _near(context):
        return f"on this machine: the agent listens on {agent.bind}"
    places = []
    if any(one.contained for one in context.stack.monitored):
        places.append(f"in a container that joins the network {context.stack.name}-metrics")
    if agent is not None:
        places.append(f"that reaches {agent.bind}")
    return " and ".join(places) or (
        "that scrapes your own exporters, with the labels 'stack' and 'instance' that the rules use"
    )


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
