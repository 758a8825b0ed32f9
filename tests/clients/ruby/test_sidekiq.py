"""Sidekiq, with a namespace and without."""

from __future__ import annotations

from functools import partial

import pytest

from tests.clients.apps import side_by_side
from tests.clients.languages import debian_version, ruby
from tests.clients.record import record
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = [pytest.mark.live, pytest.mark.root]  # Debian's packages are installed

FILE = """
redis: {port: PORT1, eviction: noeviction}
instances:
  own: {engine: redis, port: PORT2}
apps:
  jobs: {own: {for: sidekiq}}
  jobs1: {redis: "jobs1:*"}
  jobs2: {redis: "jobs2:*"}
"""
DID = "jobs, retries, scheduled jobs, bulk, the API; a worker process, stopped through Redis"
stack = brought_up(FILE)


def test_sidekiq_has_an_instance_of_its_own(stack: Cli) -> None:
    side_by_side(stack, "jobs", run=partial(ruby, "sidekiq"), instance="own")
    result = "works on an instance of its own"
    record("Sidekiq", debian_version("ruby-sidekiq"), "redis", DID, result)


def test_sidekiq_6_with_a_namespace_shares_a_server(stack: Cli) -> None:
    def run(env: dict[str, str]) -> None:
        ruby("sidekiq", env | {"NAMESPACE": env["REDIS_KEY_PREFIX"].rstrip(":")})

    side_by_side(stack, "jobs1", "jobs2", run=run)
    software = "Sidekiq 6 with redis-namespace"
    record(software, debian_version("ruby-sidekiq"), "redis", DID)
