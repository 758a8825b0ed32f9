"""From a server that was just started to the administrator's session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from mngdb.engines.postgres import client
from mngdb.engines.postgres.access import admin
from mngdb.engines.postgres.client import Session
from mngdb.model import DesiredInstance


@contextmanager
def bootstrap(asked: DesiredInstance, deadline: float) -> Iterator[Session]:
    """Over the socket: its owner needs no password, so a lost secret can be mended. A tunnel
    ends at the server's TCP port, where everybody needs one, and TLS where it is on."""
    access = admin(asked)
    if asked.site is None:
        raise ValueError("a server that somebody else runs is not bootstrapped")
    inside = access
    if not asked.tunnel:
        inside = replace(access, password=None, socket=asked.site.run, tls=False)
    with client.wait(inside, deadline, 5) as session:
        yield session
