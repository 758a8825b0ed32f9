"""Action Cable, and Rails' cache store."""

from __future__ import annotations

from functools import partial

import pytest

from tests.clients.apps import side_by_side
from tests.clients.languages import debian_version, ruby
from tests.clients.record import record
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = [pytest.mark.live, pytest.mark.root]  # Debian's packages are installed

stack = brought_up("""
redis: {port: PORT1}
apps:
  rails1: {redis: {keys: "rails1:*", for: actioncable}}
  rails2: {redis: {keys: "rails2:*", for: actioncable}}
""")


def test_two_rails_apps(stack: Cli) -> None:
    side_by_side(stack, "rails1", "rails2", run=partial(ruby, "action_cable"))
    version = debian_version("ruby-actioncable")
    record("Action Cable", version, "redis", "two servers: subscriptions, broadcasts")
    did = "values, counters, delete_matched, clear"
    record("Rails' RedisCacheStore", version, "redis", did)
