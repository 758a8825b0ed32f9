"""What is looked at around the servers of a stack, for the checks `stack.*`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from mngdb.findings import Seen


class Around(Struct, frozen=True):
    """Who measures the servers, who judges the alerts, who is told."""

    agent: str | None
    """What is wrong with the agent; empty: nothing; None: the stack has none."""
    places: str
    """The ports on which it serves metrics."""
    exporters: Seen[Mapping[str, str]]
    """Exporter beside a container to what is wrong with it; empty: nothing."""
    rules: int | None
    """How many alerts the agent judges; None: the file leaves that to others."""
    round: str
    """How the last round went, in words; empty: none was judged in time."""
    store: tuple[str, ...] | None
    """What may take the backups away together with the data; None: the file asks for none."""
    kit: Seen[tuple[tuple[str, ...], str]] | None
    """What the last backup kit lacks, and a remark on it; None: the file asks for no backups."""
    moments: tuple[str, ...] | None
    """What keeps moments between two snapshots from being restored; None: the file asks for no
    backups."""
    channels: Mapping[str, str]
    """Channel to what keeps it from being told; empty: nothing."""
    off: tuple[str, ...] = ()
    """Rules of the guide that the file switches off, with what they come from: `B18 RedisDown`."""
    told: Mapping[str, str] = {}
    """Channel to what is missing for a proof that a message arrived; empty: nothing."""
    environment: Seen[tuple[str, ...]] = Seen(missing="not asked")
    """What is wrong with apps' environments: `CHECK (APP)`."""
    ci: Seen[tuple[str, ...] | None] = Seen(missing="not asked")
    """What is wrong with the variables of CI; None: the project has no CI."""
    logs_kept: float | None = None
    """Days that logs are kept; None: one old log."""
    logs_here: bool = True
    """Whether logs of servers are files of this machine."""
    costly: Seen[tuple[str, ...]] | None = None
    """Servers at a provider's that cost money and are not in the file; None: there is no
    provider."""
    page_roles: tuple[str, ...] | None = None
    """Roles of which a person needs one to open RedisInsight, who is its administrator then; None:
    the stack has no such page."""
    team: tuple[str, ...] | None = None
    """What keeps the team's roles from meaning what the file says; None: the file names no team."""
