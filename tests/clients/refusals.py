"""What Redis refused to an app while its software worked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.conftest import Cli
from tests.live.clients import redis_as


@contextmanager
def nothing_refused(cli: Cli, instance: str = "redis") -> Iterator[None]:
    """A block after which Redis' log of refusals has to be empty."""
    with redis_as(cli, instance=instance) as admin:
        admin.acl_log_reset()
        yield
        refused = [f"{one['username']}: {one['reason']} {one['object']}" for one in admin.acl_log()]
    assert refused == []
