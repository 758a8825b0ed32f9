"""Tables, indexes and sequences of a PostgreSQL server that are not as they should be.

Their entries say all."""

from __future__ import annotations

from mngdb.checks.catalogue import checks
from mngdb.checks.postgres.settings import SETTINGS
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check

CHECKS: tuple[Check[PostgresFacts], ...] = checks(__file__, {}, SETTINGS)
