"""What people write for a driver: the software that uses it, or its language."""

from __future__ import annotations

from collections.abc import Sequence

from mngdb.spec.presets import presets
from mngdb.spec.problems import near

#: By driver, what docs/connecting.md names beside it, and other words for that.
_USERS = {
    "libpq": ("psql", "php", "laravel"),
    "psycopg": ("python", "psycopg2", "psycopg3"),
    "tortoise": ("tortoise-orm",),
    "rails": ("ruby", "sidekiq", "mongoid", "activerecord"),
    "jdbc": ("java", "pgjdbc", "hibernate", "hikaricp", "flyway", "liquibase", "keycloak"),
    "spring": ("spring-boot", "springboot"),
    "node": (
        *("nodejs", "node.js", "javascript", "typescript", "pg", "node-postgres"),
        *("sequelize", "knex", "drizzle", "typeorm"),
    ),
    "ioredis": ("bullmq", "bull"),
    "go": ("golang", "pgx", "lib/pq", "golang-migrate", "go-redis", "asynq"),
}
#: Such a word to its driver.
DRIVER_OF = {user: driver for driver, users in _USERS.items() for user in users}


def unknown_driver(value: str, known: Sequence[str]) -> str:
    """The sentence on a name that is none of `known`: the driver that is meant, or where the file
    has such a name."""
    text = f"unknown driver {value[:40]!r}"
    word = value.lower()
    if word in DRIVER_OF:
        return f"{text} (did you mean {DRIVER_OF[word]!r}?)"
    if word in presets():
        return f"{text}; in the file 'for' stands beside 'env': {{for: {word}, env: …}}"
    return f"{text}{near(word, known)}"
