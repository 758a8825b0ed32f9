"""What cannot be true together, and secrets, which no file may hold."""

from __future__ import annotations

import pytest

from tests.unit.spec import refused, stack

SECRET = "geheim-4711"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x", "1:1: the file has no databases\n  hint: add 'postgres: {}'"),
        (
            "postgres:\nredis: {port: 5432}",
            "2:15: redis.port: redis and postgres both use port 5432\n  hint: give redis another",
        ),
        (
            "postgres:\ninstances: {b: {engine: postgres}}",
            "2:16: instances.b.port: b and postgres both use port 5432",
        ),
        (
            "postgres:\ninstances: {pg: {engine: redis}}",
            "2:17: instances.pg: pg and postgres would both be named mng-pg",
        ),
        (
            "postgres:\napps: {a: {postgres: x}, b: {postgres: x}}",
            "2:40: apps.b.postgres: a and b both own the database 'x' of postgres\n"
            "  hint: give b 'access: readwrite'",
        ),
        (
            "postgres:\napps: {a: {redis: x}}",
            "2:12: the app a uses redis, which is not in this file\n  hint: add 'redis: {}'",
        ),
        (
            "postgres:\napps: {a: {legacy: x}}",
            "2:12: unknown instance 'legacy'; expected one of: postg",
        ),
        ("redis: {bind: [10.0.0.1]}", "1:15: redis.bind: redis listens beyond loopback without"),
        ("redis: {bind: [127.0.0.1, '::2']}", "1:15: redis.bind: redis listens beyond loopback"),
        (
            "tls: true\nredis: {tls: false, bind: [10.0.0.1]}",
            "2:27: redis.bind: redis listens beyond loopback",
        ),
        (
            "redis: {adopt: true}",
            "1:16: redis.adopt: 'adopt' is for external servers",
        ),
        (
            "redis: {target: {external: {url: 'redis://h'}}, port: 1}",
            "1:55: redis.port: the port of an external server is in its url",
        ),
        (
            "postgres: {target: {external: {url: 'postgresql://a@h'}}, slow: 1s}",
            "1:65: postgres.slow: 'slow' changes nothing on an external server",
        ),
        (
            "redis: {target: {external: {url: 'redis://h'}}, memory: 70%}",
            "1:57: redis.memory: 'memory' changes nothing on an external server",
        ),
        (
            "redis: {bind: [10.0.1.100, 203.0.113.1], without_tls: VPC}",
            "1:15: redis.bind: redis listens beyond loopback without TLS: 203.0.113.1 is",
        ),
        (
            "redis: {bind: [10.0.1.100], without_tls: ' '}",
            "1:42: redis.without_tls: write it in one line",
        ),
        (
            "tls: true\nredis: {bind: [10.0.1.100], without_tls: VPC}",
            "2:42: redis.without_tls: redis has TLS",
        ),
        (
            "redis:\napps: {a: {redis: {default: true}}, b: {redis: {default: true}}}",
            "2:58: apps.b.redis.default: a and b would both be the user 'default' of redis",
        ),
        (
            "redis:\napps: {a: {redis: {default: true}}, b: {redis: {keys: x, commands: [+keys]}}}",
            "2:68: apps.b.redis.commands: redis loads its append-only file with the rights of a",
        ),
        (
            "redis: {target: {external: {url: 'redis://h'}}}\napps: {a: {redis: {default: true}}}",
            "2:29: apps.a.redis.default: the user 'default' of an external server is its operator",
        ),
        (
            "redis:\napps: {a: {redis: {keys: 'a:*', default: true}}}",
            "2:26: apps.a.redis.keys: an app with 'default: true' has all keys ('*')",
        ),
        (
            "redis:\napps: {a: {redis: {default: true, access: readonly}}}",
            "2:43: apps.a.redis.access: an app with 'default: true' cannot be readonly",
        ),
        (
            "redis:\napps: {a: {redis: {default: true, commands: [-eval]}}}",
            "2:46: apps.a.redis.commands.0: an app with 'default: true' cannot lose commands",
        ),
        (
            "redis: {target: {local: {data: x}}}",
            "1:17: redis.target: the options of a target are set once",
        ),
        (
            "postgres: {target: {external: {url: 'redis://h'}}}",
            "1:37: postgres.target.external.url: a postgres url is required: postgresql://",
        ),
        (
            "redis: {target: {external: {url: 'redis://'}}}",
            "1:34: redis.target.external.url: a r",
        ),
        ("redis: {target: {external: {url: 'redis://[x'}}}", "1:34: redis.target.external.url: a"),
        (
            "mongodb: {databases: {shop: {}}}\napps: {a: {mongodb: Shop}}",
            "2:21: apps.a.mongodb: MongoDB cannot keep 'shop' and 'Shop' apart",
        ),
        (
            "vault: environ\nredis:\napps: {a-b: {redis: x}, a_b: {redis: y}}",
            "3:38: apps.a_b.redis: the secrets redis_a-b and redis_a_b would be the same variable, "
            "REDIS_A_B",
        ),
        (
            "postgres: {recovery_point: sync}",
            "1:28: postgres.recovery_point: 'recovery_point: sync' needs backups\n"
            "  hint: add 'backup: {}'",
        ),
        (
            "backup: {}\npostgres: {recovery_point: strict}\nagent: false",
            "2:28: postgres.recovery_point: 'recovery_point: strict' needs the agent",
        ),
        (
            "backup: {keep: {point_in_time: 0s}}\npostgres: {recovery_point: sync}",
            "2:28: postgres.recovery_point: 'recovery_point: sync' needs the log",
        ),
        (
            "backup: {}\ntarget: compose\npostgres: {recovery_point: sync}",
            "3:28: postgres.recovery_point: 'recovery_point: sync' needs the agent",
        ),
        (
            "backup: {}\nagent: true\npostgres: {recovery_point: sync, target: "
            "{external: {url: 'postgresql://a@h'}}}",
            "3:28: postgres.recovery_point: 'recovery_point: sync' is not possible",
        ),
        (
            "backup: {}\npostgres: {recovery_point: sync, settings: {Synchronous_Commit: off}}",
            "2:65: postgres.settings.Synchronous_Commit: the setting 'Synchronous_Commit' is der",
        ),
        (
            "backup: {}\npostgres: {recovery_point: sync, logical: only}",
            "2:43: postgres.logical: 'logical: only' has no log",
        ),
        ("redis: {recovery_point: sync}", "1:9: unknown key 'recovery_point'"),
    ],
)
def test_a_conflict_is_said_at_its_place(text: str, said: str) -> None:
    assert refused(text).startswith(f"mngdb.yaml:{said}")


@pytest.mark.parametrize(
    "text",
    [
        "postgres:\napps: {a: {postgres: x}, b: {postgres: {database: x, access: readwrite}}}",
        "mongodb:\napps: {a: {mongodb: x}, b: {mongodb: x}}",
        "tls: true\nredis: {bind: [10.0.0.1]}",
        "redis: {bind: [127.0.0.9, '::1']}",
        "postgres:\ninstances: {b: {engine: postgres, port: 5433}}\n"
        "apps: {a: {postgres: x, b: x}, c: {b: y}}",
        "redis:\ninstances: {b: {engine: redis, target: {external: {url: 'rediss://h:6379'}}}}",
        "redis:\napps: {a-b: {redis: x}, a_b: {redis: y}}",
        "target: {local: {data: /x, account: y}}\nredis:",
    ],
)
def test_what_fits_together_is_taken(text: str) -> None:
    stack(text)


@pytest.mark.parametrize(
    "text",
    [
        f"postgres: {{target: {{external: {{url: 'postgresql://a:{SECRET}@h/x'}}}}}}",
        f"postgres: {{target: {{external: {{url: 'postgresql://a@h/x?password={SECRET}'}}}}}}",
        f"postgres: {{target: {{external: {{url: 'postgresql://a:x/{SECRET}@h/x'}}}}}}",
        f"redis: {{target: {{external: {{url: 'redis://:{SECRET}@h'}}}}}}",
        f"redis: {{target: 'redis://:{SECRET}@h'}}",
        f"redis: {{bind: ['redis://:{SECRET}@h']}}",
        f"redis: {{version: 'redis://:{SECRET}@h'}}",
        f"redis: {{port: 'redis://:{SECRET}@h'}}",
        f"vault: 'x://u:{SECRET}@h'\nredis:",
        f"postgres:\napps: {{a: {{postgres: 'x://u:{SECRET}@h'}}}}",
        f"postgres: {{settings: {{primary_conninfo: 'host=h password={SECRET}'}}}}",
        f"postgres: {{settings: {{'my.password': {SECRET}}}}}",
        f"redis: {{settings: {{requirepass: {SECRET}}}}}",
        f"redis: {{password: {SECRET}}}",
        f"password: {SECRET}\nredis:",
        f"postgres:\napps: {{a: {{password: {SECRET}, postgres: x}}}}",
        f"postgres:\napps: {{a: {{postgres: {{database: x, passwd: {SECRET}}}}}}}",
        f"instances: {{q: {{engine: redis, secret: {SECRET}}}}}",
        f"backup: {{store: 's3://key:{SECRET}@bucket'}}\nredis:",
        f"backup: {{access_key: {SECRET}}}\nredis:",
        f"vault: {{files: {{token: {SECRET}}}}}\nredis:",
    ],
)
def test_a_literal_secret_is_refused_and_never_shown(text: str) -> None:
    said = refused(text)
    assert SECRET not in said
    assert said.startswith("mngdb.yaml:")


@pytest.mark.parametrize("key", ["password", "passwd", "auth", "api_key", "accessKey", "token"])
def test_a_key_that_asks_for_a_secret_is_refused_with_the_right_place(key: str) -> None:
    assert refused(f"redis:\n  {key}: {SECRET}\n").splitlines() == [
        f"mngdb.yaml:2:3: a secret does not belong in the file (key '{key}')",
        "  hint: secrets live in the vault: mngdb makes them, or 'mngdb secret set NAME' reads one "
        "from standard input",
    ]


def test_a_secret_that_a_variable_brings_is_refused_too() -> None:
    text = "redis: {target: {external: {url: '${URL}'}}}"
    said = refused(text, URL=f"redis://:{SECRET}@h")
    assert "a password does not belong in the file" in said
    assert SECRET not in said


def test_a_private_address_is_served_without_tls_for_a_reason() -> None:
    found = stack("redis: {bind: [10.0.1.100, 'fd00::1'], without_tls: security group sg-1}")
    assert found.instances["redis"].spec.bind == ["10.0.1.100", "fd00::1"]
