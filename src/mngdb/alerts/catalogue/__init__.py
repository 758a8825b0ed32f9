"""Every rule there is, by subject."""

from __future__ import annotations

from mngdb.alerts.catalogue import mongodb, postgres, redis, stack
from mngdb.alerts.rules import Rule

RULES: tuple[Rule, ...] = (*postgres.RULES, *redis.RULES, *mongodb.RULES, *stack.RULES)
