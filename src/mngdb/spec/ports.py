"""Ports that the file leaves to mngdb (`port: auto`): which those are, and the stack once they are
chosen. mngdb.ops.ports chooses them; everything else sees numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from mngdb.spec.agent import AGENT, AGENT_PORT, AgentPorts
from mngdb.spec.base import AUTO
from mngdb.spec.compose import Compose
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance, Stack


class OpenPort(Struct, frozen=True):
    """A port that mngdb chooses: `first`, if it is free at all `hosts`, else the next that is."""

    name: str
    """What it is remembered by: `redis`, `agent.redis`, `publish.redis`."""
    first: int
    hosts: tuple[str, ...]
    instance: str = ""
    """The instance that it is for; empty: the agent."""


def listens(instance: Instance) -> str:
    """The name of the port that a server of this machine listens on."""
    return instance.name


def serves(metrics: str) -> str:
    """The name of a port of the agent: a key of AgentPorts."""
    return f"{AGENT}.{metrics}"


def publishes(instance: Instance) -> str:
    """The name of the port that a container is published on."""
    return f"publish.{instance.name}"


def open_ports(stack: Stack) -> list[OpenPort]:
    """The ports that the file leaves to mngdb, those of `stack.chosen` included."""
    return [one for one, port in _every(stack) if port == AUTO or one.name in stack.chosen]


def fixed_ports(stack: Stack) -> set[int]:
    """The ports that the file names."""
    return {port for one, port in _every(stack) if port != AUTO and one.name not in stack.chosen}


def _every(stack: Stack) -> Iterator[tuple[OpenPort, int]]:
    """Every port of this machine that the stack takes, and which it is so far."""
    for instance in stack.instances.values():
        spec, first = instance.spec, ENGINE_INFO[instance.engine].port
        if instance.here:
            yield OpenPort(listens(instance), first, tuple(spec.bind), instance.name), spec.port
        if instance.published:
            host, _, port = instance.published.rpartition(":")
            number = int(port) if port.isdigit() else AUTO
            hosts = (host.strip("[]"),)
            yield OpenPort(publishes(instance), first, hosts, instance.name), number
    agent = stack.agent
    if agent is not None:
        served = dict.fromkeys(one.engine for one in stack.monitored)
        usual = {str(engine): ENGINE_INFO[engine].metrics.port for engine in served}
        for name, first in (usual | {"mngdb": AGENT_PORT}).items():
            if name in AgentPorts.model_fields:
                yield OpenPort(serves(name), first, (agent.bind,)), getattr(agent.ports, name)


def filled(stack: Stack, chosen: Mapping[str, int]) -> Stack:
    """The stack with these ports, by their names. A container has a network of its own, where each
    engine's default port is free."""
    instances = {name: _instance(one, chosen) for name, one in stack.instances.items()}
    source, agent = stack.source, stack.agent
    if agent is not None:
        ports = {n: chosen[serves(n)] for n in AgentPorts.model_fields if serves(n) in chosen}
        if ports:
            ours = agent.ports.model_copy(update=ports)
            agent = agent.model_copy(update={"ports": ours})
            source = source.model_copy(update={AGENT: agent})
    return replace(stack, instances=instances, source=source, chosen=dict(chosen))


def _instance(instance: Instance, chosen: Mapping[str, int]) -> Instance:
    spec, target = instance.spec, instance.target
    port = chosen.get(listens(instance), spec.port) or ENGINE_INFO[instance.engine].port
    if port != spec.port:
        instance = replace(instance, spec=spec.model_copy(update={"port": port}))
    compose, number = target.of(Compose), chosen.get(publishes(instance))
    if compose is None or number is None or instance.published is None:
        return instance
    host = instance.published.rpartition(":")[0]
    publish = {**compose.publish, instance.name: f"{host}:{number}"}
    there = target.model_copy(update={target.kind: compose.model_copy(update={"publish": publish})})
    return replace(instance, target=there)
