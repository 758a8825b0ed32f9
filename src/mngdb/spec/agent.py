"""What the file says of the agent: the process that serves metrics and restarts what died."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, Field, model_validator

from mngdb.spec.base import AUTO, Bind, EngineName, Model, PortOrAuto
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.units import Seconds, format_duration

#: The login that looks at a server for its metrics; no app may be called so.
MONITOR = "monitor"
#: What the agent's unit is called, after the stack's name.
AGENT: Final = "agent"
#: The usual port of mngdb's own metrics.
AGENT_PORT: Final = 9321
#: Databases of an instance whose tables are counted: each look costs a login.
TABLES_MAX = 10


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value):
        raise ValueError(f"{value[:40]!r} is not a host name; write it without port and path")
    return value


class AgentPorts(Model):
    """TCP ports of the agent. `auto`, also for all of them (`ports: auto`), is the usual port, or
    the next one that is free; it is remembered until `mngdb destroy`. `/metrics` is the first
    instance of an engine, `/metrics/NAME` the one of that name."""

    postgres: PortOrAuto = AUTO
    """PostgreSQL's metrics; 9187 or the next."""
    redis: PortOrAuto = AUTO
    """Redis' metrics; 9121 or the next."""
    mongodb: PortOrAuto = AUTO
    """MongoDB's metrics; 9216 or the next."""
    mngdb: PortOrAuto = AUTO
    """mngdb's own metrics (units, restarts, secrets, certificates, this machine); 9321 or the
    next."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "auto":
            raise ValueError("has to be 'auto' or a mapping of ports")
        return dict.fromkeys(cls.model_fields, value) if value == "auto" else value

    @model_validator(mode="after")
    def _differ(self) -> AgentPorts:
        ports = [self.postgres, self.redis, self.mongodb, self.mngdb]
        twice = next((port for port in ports if port != AUTO and ports.count(port) > 1), None)
        if twice is not None:
            raise ValueError(f"port {twice} is used twice")
        return self

    def of(self, engine: EngineName) -> int:
        """The port of an engine's metrics."""
        return cast(int, getattr(self, engine, ENGINE_INFO[engine].metrics.port))


class Agent(Model):
    """The process that monitors the servers. If none of them runs as a process on this machine, the
    agent runs only if the file has `agent: true` (or any key of it), or channels under
    `alerts:`."""

    bind: Bind = "127.0.0.1"
    """Address to serve metrics on. They contain names of databases and tables, but no secrets; use
    a firewall if you serve them to a network."""
    names: list[Annotated[str, AfterValidator(_host)]] = Field(default_factory=lambda: [])
    """Host names for which metrics are served, in addition to localhost, this machine's name and
    any IP address. Requests for other hosts are refused, as protection against DNS rebinding."""
    ports: AgentPorts = Field(default_factory=AgentPorts)
    """TCP ports of the metrics."""
    restart: bool = True
    """Restart crashed servers, except those stopped by `mngdb down`. Containers are restarted by
    Docker; external servers are not restarted."""
    alerts: bool = True
    """Evaluate the alerts and notify the channels; `false` if Prometheus and Alertmanager do."""
    external: bool = False
    """Also monitor external servers: each gets the login `monitor`."""
    statements: Seconds = timedelta(minutes=5)
    """How often totals of PostgreSQL statements are recorded for `mngdb slow --since`: the latest
    288 are kept, then one per hour for a week. Numbers only, no text."""

    @model_validator(mode="after")
    def _not_busy(self) -> Agent:
        if self.statements < timedelta(seconds=1):
            raise ValueError(f"statements: {format_duration(self.statements)}: at least 1s")
        return self
