"""Active Record, with the rights of the app that owns its database."""

from __future__ import annotations

from functools import partial

import pytest

from tests.clients.apps import at_once
from tests.clients.languages import debian_version, ruby
from tests.clients.record import record
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = [pytest.mark.live, pytest.mark.root]  # Debian's packages are installed

stack = brought_up("postgres: {port: PORT1}\napps: {one: {postgres: one}, two: {postgres: two}}\n")


def test_migrations_and_models(stack: Cli) -> None:
    at_once(stack, "one", "two", run=partial(ruby, "active_record"), reader="shell")
    did = "migrations up and down, models, transactions, upserts, its advisory lock"
    record("Active Record", debian_version("ruby-activerecord"), "postgres", did)
