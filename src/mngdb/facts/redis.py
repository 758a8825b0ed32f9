"""What is looked at on a Redis server for its checks."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from mngdb.findings import Seen


class Rights(Struct, frozen=True):
    """What a login may do, by ACL DRYRUN. `may` holds of the commands tried those that it may run;
    `all_keys` and `all_channels`: names that nobody can have meant are as good as any."""

    may: frozenset[str]
    all_keys: bool
    all_channels: bool
    apps: frozenset[str] = frozenset()
    """Apps of the file whose keys a login that the file does not name may read or write."""


class Login(Struct, frozen=True):
    """One ACL user."""

    name: str
    on: bool
    no_password: bool
    well_known: bool
    """One of its passwords is in the list that everybody tries first, or its own name."""
    rights: Seen[Rights]
    as_admin: bool = False
    """Whether all its passwords are those of another login that may do everything."""


class RedisFacts(Struct, frozen=True):
    """A Redis server as observed; `wanted` and `apps` are the file's."""

    config: Seen[Mapping[str, str]]
    info: Seen[Mapping[str, str]]
    logins: Seen[tuple[Login, ...]]
    open_to_all: Seen[bool]
    """Whether a connection without any login is answered."""
    plain: Seen[bool]
    """Whether the server answers without encryption."""
    apps: Mapping[str, frozenset[str]]
    """App to the commands that the file gives it beyond the usual ones."""
    admin: str
    """The login that administers."""
    known: frozenset[str]
    """The stack's logins: the administrator, the apps, the monitor, `default` where it is ours."""
    whole: frozenset[str]
    """Apps whose software takes all of an instance; no other app is there."""
    shared: tuple[str, ...]
    """Apps of the file that can access the same keys, two each with their patterns."""
    password_lengths: Mapping[str, int]
    """Login to the length of its secret in the vault."""
    wanted: Mapping[str, str]
    """Settings that follow from the file."""
    remote: bool
    """Whether it listens to others than its own machine."""
    without_tls: str
    """Why the file has it listen to a private network without TLS; empty: it does not."""
    enclosed: bool
    """Whether it has a network of its own, which only containers that were let in can reach."""
    version: str
    """The version that the file asks for; empty: any."""
    memory: int
    """Bytes that there are for it: the machine's, or the container's limit; 0: not known."""
    managed: bool
    adopted: bool
    """Whether the file is to describe every login of a server that others run."""
