"""docs/file.md: the file, key by key."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mngdb.spec.agent import Agent, AgentPorts
from mngdb.spec.alerts import AlertRule, Alerts, Channel
from mngdb.spec.app import AppEnv
from mngdb.spec.atlas import AccessEntry, Atlas, Peering, PrivateLink
from mngdb.spec.compose import Compose, Images
from mngdb.spec.file import Backup, BackupStore, Binaries, Drill, Keep, Logs, Rotation, StackFile
from mngdb.spec.jwt import Jwt
from mngdb.spec.mongodb import Database, Index, MongodbGrant, MongodbInstance
from mngdb.spec.postgres import PostgresGrant, PostgresInstance
from mngdb.spec.redis import RedisGrant, RedisInstance, SavePoint
from mngdb.spec.schema import descriptions, schema
from mngdb.spec.target import Target
from mngdb.spec.target_models import External, Local
from mngdb.spec.team import Team
from mngdb.spec.vault import AwsSecrets, Vault
from mngdb.spec.web import Certificate, RedisInsight, Sso

#: Model, title, and an example that a test loads.
SECTIONS: list[tuple[type[BaseModel], str, str]] = [
    (StackFile, "The file", "name: mng\npostgres: {version: 17}\napps:\n  shop: {postgres: shop}"),
    (
        Target,
        "target",
        "target: local\npostgres: {target: {external: {url: "
        '"postgresql://admin@db.example:5432/postgres"}}}',
    ),
    (Compose, "target.compose", "target: {compose: {folder: ./compose}}\npostgres: {}"),
    (
        Images,
        "target.compose.images",
        'target:\n  compose:\n    images: {postgres: "postgres:17.6-bookworm"}\npostgres: {}',
    ),
    (Local, "target.local", "target: {local: {account: databases}}\npostgres: {}"),
    (
        Atlas,
        "target.atlas",
        "mongodb: {target: {atlas: {region: ap-northeast-2, tier: M20, access: [203.0.113.1]}}}",
    ),
    (
        AccessEntry,
        "target.atlas.access",
        "mongodb: {target: {atlas: {access: [{ip: 203.0.113.7, until: '2026-12-31'}]}}}",
    ),
    (
        PrivateLink,
        "target.atlas.private_link",
        "mongodb: {target: {atlas: {private_link: "
        "{vpc: vpc-0a1b2c3d4e5f60718, subnets: [subnet-0a1b2c3d4e5f60718]}}}}",
    ),
    (
        Peering,
        "target.atlas.peering",
        "mongodb: {target: {atlas: {peering: {vpc: vpc-0a1b2c3d4e5f60718, "
        "account: '123456789012', vpc_cidr: 10.0.0.0/16}}}}",
    ),
    (
        External,
        "target.external",
        'redis: {target: {external: {url: "rediss://admin@cache.example:6379"}}}',
    ),
    (Vault, "vault", "vault: {files: {path: ./secrets}}\npostgres: {}"),
    (
        AwsSecrets,
        "vault.aws",
        "vault:\n  aws: {name: chat-app/database, region: us-east-1, fail_open: false}\n"
        "postgres: {}",
    ),
    (Jwt, "jwt", "apps: {shop: {redis: 's:*'}}\njwt: {apps: [shop], rotate: 30d}\nredis: {}"),
    (Team, "team", "team: {viewers: devs, operators: ops}\npostgres: {}"),
    (Binaries, "binaries", "binaries: {postgres: /usr/lib/postgresql/17/bin}\npostgres: {}"),
    (
        PostgresInstance,
        "postgres",
        "postgres:\n  max_connections: 300\n  settings: {work_mem: 32MB}",
    ),
    (RedisInstance, "redis", "redis: {memory: 2gb, eviction: noeviction}"),
    (SavePoint, "redis.save", "redis:\n  save:\n    - {after: 15m, changes: 1}"),
    (MongodbInstance, "mongodb", "mongodb: {slow: 50ms, oplog: 2000}"),
    (
        Database,
        "mongodb.databases",
        "mongodb:\n  databases:\n    shop:\n      indexes:\n"
        "        users: [{keys: {email: 1}, unique: true}]",
    ),
    (
        Index,
        "mongodb.databases.NAME.indexes",
        "mongodb:\n  databases:\n    shop:\n      indexes:\n"
        "        sessions: [{keys: {until: 1}, ttl: 0s}]",
    ),
    (
        PostgresGrant,
        "apps.APP.postgres",
        "postgres: {}\napps:\n  shop: {postgres: shop}\n"
        "  report: {postgres: {database: shop, access: readonly, statement_timeout: 30s}}",
    ),
    (
        RedisGrant,
        "apps.APP.redis",
        'redis: {}\napps:\n  shop: {redis: "shop:*"}\n  mail: {redis: ["mail:*", "queue:*"]}\n'
        '  jobs: {redis: {keys: "jobs:*", for: celery}}',
    ),
    (
        MongodbGrant,
        "apps.APP.mongodb",
        "mongodb: {}\napps:\n  shop: {mongodb: shop}\n"
        "  report: {mongodb: {database: shop, access: readonly}}",
    ),
    (
        AppEnv,
        "apps.APP.env",
        "postgres: {}\nredis: {}\napps:\n  shop: {postgres: shop, redis: 's:*', "
        "env: {for: django}}\n"
        "  mail:\n    postgres: mail\n"
        "    env: {DATABASE_URL: postgres, DB_PASS: postgres.password}",
    ),
    (Backup, "backup", 'postgres: {}\nbackup: {store: /srv/backups, at: "03:00"}'),
    (
        BackupStore,
        "backup.store",
        "postgres: {}\nbackup: {store: {url: s3://backups/db, region: eu-central-1}}",
    ),
    (Rotation, "rotate", "postgres: {}\nrotate: {every: 90d, grace: 15m}"),
    (Logs, "logs", "postgres: {}\nlogs: {keep: 365d, size: 20gb}"),
    (Keep, "backup.keep", "postgres: {}\nbackup: {keep: {daily: 14}}"),
    (
        Alerts,
        "alerts",
        "redis: {}\nalerts:\n  channels:\n    team: slack\n    duty: pagerduty\n"
        "    ops: {kind: email, host: smtp.example.com, user: mngdb, "
        "from: mngdb@example.com, to: [ops@example.com]}",
    ),
    (
        AlertRule,
        "alerts.rules.RULE",
        "redis: {}\nalerts:\n  rules:\n    RedisHighMemory: {threshold: 0.9, for: 10m}\n"
        "    RedisFragmented: false",
    ),
    (Channel, "alerts.channels.NAME", "redis: {}\nalerts: {channels: {hook: webhook}}"),
    (
        Sso,
        "sso",
        "redis: {}\nsso: {issuer: https://keycloak.example/realms/mng, roles: [redis-admin]}",
    ),
    (
        RedisInsight,
        "redisinsight",
        "redis: {}\nsso: {issuer: https://keycloak.example/realms/mng}\n"
        "redisinsight: {url: https://redisinsight.example, accept_terms: true}",
    ),
    (
        Certificate,
        "redisinsight.certificate",
        "redis: {}\nsso: {issuer: https://keycloak.example/realms/mng}\n"
        "redisinsight:\n  url: https://redisinsight.example\n  accept_terms: true\n"
        "  certificate: {certificate: page.crt, key: page.key}",
    ),
    (Drill, "backup.drill", "postgres: {}\nbackup: {drill: {every: 30d}}"),
    (Agent, "agent", "postgres: {}\nagent: {restart: false}"),
    (AgentPorts, "agent.ports", "postgres: {}\nagent: {ports: {postgres: 19187}}"),
]

FILE_HEAD = """# The file, key by key

`mngdb.yaml` declares the databases of a team and the apps that use them. Every key has a default,
except those marked *required*; `mngdb config` prints the file with all defaults filled in, and
`mngdb schema` prints a JSON Schema for editors.

- **Durations** are a number with ms, s, m, h or d (`24h`). **Sizes** have kb, mb, gb or tb
  (`64mb`, powers of 1024), **rates** a size per second (`50mb/s`). **Memory** is a size,
  or a share of the available memory (`70%`; a container's limit counts).
- **Variables** are substituted from the environment, in values only: `${NAME}`, or
  `${NAME:-default}`. `$$` is a literal dollar sign. `port: ${PORT}` is a number if PORT is one;
  inside `{ }` and `[ ]` YAML requires quotes around it, and a quoted value is a string.
- **Several files** are merged in order (`-f mngdb.yaml -f prod.yaml`): mappings key by key,
  everything else is replaced.
- **YAML 1.2**: `03:00`, `on`, `no` and dates are strings. Duplicate keys are rejected.
- **Secrets are never in the file.** mngdb generates them; `mngdb secret set NAME` stores one of
  your own.
- **More instances** of an engine are declared under `instances`, with their `engine`; an app refers
  to them as it does to `postgres`, `redis` and `mongodb`:

```yaml
redis: {}
instances:
  queue: {engine: redis, port: 6380, eviction: noeviction}
apps:
  worker: {redis: "cache:*", queue: "jobs:*"}
```
"""


def anchor(title: str) -> str:
    """GitHub's anchor of a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def type_words(part: dict[str, Any]) -> str:
    """A JSON Schema's type as people say it."""
    links = {model.__name__: title for model, title, _ in SECTIONS}
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[-1]
        return f"[{links[name]}](#{anchor(links[name])})" if name in links else ""
    for key in ("anyOf", "oneOf"):
        if key in part:
            words = [type_words(one) for one in part[key]]
            return ", or ".join(dict.fromkeys(word for word in words if word))
    if "enum" in part or "const" in part:
        return ", ".join(f"`{one}`" for one in part.get("enum", [part.get("const")]))
    if "examples" in part:
        amounts = {"24h": "duration", "64mb": "size", "70%": "memory", "50mb/s": "rate"}
        amount = amounts[part["examples"][0]]
        return f"{amount} (`{'`, `'.join(part['examples'])}`)"
    kind: str | list[str] | None = part.get("type")
    if kind == "integer":
        low, high = part.get("minimum"), part.get("maximum")
        span = f", {low:,} to {high:,}" if high is not None else f", at least {low}"
        return "whole number" + (span if low is not None else "")
    if kind == "number":
        return "number"
    if kind == "boolean":
        return "`true`, `false`"
    if kind == "array":
        return f"list of: {type_words(part['items'])}"
    if kind == "object":
        inner = part.get("additionalProperties")
        return f"map of names to: {type_words(inner)}" if isinstance(inner, dict) else "mapping"
    if isinstance(kind, list):
        return "version" if "pattern" in part else "string, number or `true`/`false`"
    return {"string": "string", "null": ""}.get(str(kind), "")


def default_words(model: type[BaseModel], key: str) -> str:
    """A key's default as the file would say it."""
    info = model.model_fields[key]
    if info.is_required():
        return "*required*"
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None or value in ({}, []):
        return "–"
    if isinstance(value, BaseModel):
        return "see below" if value != Target.model_validate("local") else "`local`"
    # the model's own serialisers write durations and sizes as people do
    shown = model.model_construct(**{key: value}).model_dump(mode="json", include={key})[key]
    if shown in (True, False):
        return f"`{str(shown).lower()}`"
    if isinstance(shown, list):
        shown = ", ".join(
            "{" + ", ".join(f"{k}: {v}" for k, v in one.items()) + "}"
            if isinstance(one, dict)
            else str(one)
            for one in shown
        )
        return f"`[{shown}]`"
    return f"`{shown}`"


def file_page() -> str:
    """docs/file.md."""
    document = schema()
    text = FILE_HEAD
    for model, title, example in SECTIONS:
        found = document if model is StackFile else document["$defs"][model.__name__]
        if "properties" not in found:  # the long form stands last among the forms
            found = found["anyOf"][-1]
        said = " ".join((model.__doc__ or "").split())
        text += f"\n## {title}\n\n{'' if model is StackFile else said + chr(10) * 2}"
        text += "| key | takes | default | meaning |\n|---|---|---|---|\n"
        for field, info in model.model_fields.items():
            key = info.alias or field
            if model is RedisGrant and key == "keys":
                takes = "list of: string"
            elif model is RedisGrant and key == "for":
                takes = "name, or list of names, of [presets](presets.md)"
            elif model is StackFile and key == "apps":
                takes = "app to instance to right: " + ", ".join(
                    f"[{e}](#{anchor(f'apps.APP.{e}')})" for e in ("postgres", "redis", "mongodb")
                )
                takes += f"; [env](#{anchor('apps.APP.env')})"
            else:
                takes = type_words(found["properties"][key])
            row = (f"`{key}`", takes, default_words(model, field), descriptions(model)[key])
            text += f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n"
        text += f"\n```yaml\n{example}\n```\n"
    return text
