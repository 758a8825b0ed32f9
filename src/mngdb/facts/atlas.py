"""What is observed of a cluster in MongoDB Atlas. Plain data, read by the checks."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from mngdb.findings import Seen

#: Frequency, interval, unit and value of the retention of a policy's item.
Kept = tuple[str, int, str, int]


class Login(Struct, frozen=True):
    """A database user that may come to the cluster. `roles` are pairs of a role or an action and
    its database, custom roles resolved to what they inherit and permit; '' is no one database."""

    name: str
    roles: frozenset[tuple[str, str]]


class App(Struct, frozen=True):
    """An app of the file, and the login that it has now. `options` are those of its connection
    string; `mixed`: its password has lower and upper case letters, digits and others."""

    login: str
    rights: frozenset[tuple[str, str]]
    """As `Login.roles`, by the file."""
    scheme: str
    tls: bool
    options: Mapping[str, str]
    encoded: bool
    """Whether login and password stand in the string as RFC 3986 wants them."""
    length: int
    mixed: bool


class AtlasFacts(Struct, frozen=True):
    """A cluster as Atlas tells it; what begins with `wants` is the file's."""

    tier: str
    nodes: int
    region: str
    wants_region: str
    state: str
    paused: bool
    protected: bool
    wants_protected: bool
    grows: bool
    """Whether the disk grows by itself."""
    version: str
    backup: bool
    continuous: bool
    kept: frozenset[Kept]
    at: str
    """Time of the snapshots, UTC: `03:00`."""
    window: int
    """Days of continuous backup."""
    wants_kept: frozenset[Kept]
    wants_at: str
    wants_window: int
    endpoints: tuple[str, ...]
    """States of the stack's interface endpoint, where the file has one, in Atlas' words."""
    peers: tuple[str, ...]
    """States of its peering connection."""
    wants_private: bool
    private_string: bool
    """Whether there is a connection string for the private way."""
    private_dns: bool | None
    """Whether the VPC resolves names to private addresses; None: there is no private way."""
    access: tuple[str, ...]
    """Networks of the access list."""
    reasons: Mapping[str, str]
    """Those that the file gives a reason for."""
    logins: tuple[Login, ...]
    admin: str
    """mngdb's own administrator."""
    apps: Mapping[str, App]
    alerts: Mapping[str, tuple[str, ...]]
    """The guide's alerts that are there, with the kinds of those who are told."""
    advice: Seen[tuple[str, ...]]
    """Indexes that the Performance Advisor suggests, by their collections."""
    expires: Seen[float | None]
    """Days until the credentials end; None: they do not, or do not tell."""
