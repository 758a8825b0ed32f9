"""Each engine as an app of the tests uses it: by its variables alone, with the usual driver."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymongo
import redis
from pymongo.errors import OperationFailure


@dataclass(frozen=True)
class Driver:
    """What the suite needs of an engine."""

    engine: str
    variable: str
    """The variable with the connection string."""
    right: str
    """Of an app, in the file."""
    call: Callable[[str, str | None], str | None]
    """Keep a value, given the connection string; without one, read it."""
    refusal: type[Exception]
    """What it raises for a login that is refused."""
    options: str = ""
    """Of the instance, in the file, besides its port."""
    admit: Callable[[str, Path], None] = lambda url, conf: None
    """Let logins in that the server's own stack does not know, as the administrator of this
    connection string. `conf` has the server's files."""

    def put(self, env: Mapping[str, str], value: str) -> None:
        self.call(env[self.variable], value)

    def get(self, env: Mapping[str, str]) -> str | None:
        return self.call(env[self.variable], None)

    def moved(self, env: Mapping[str, str], host: str, port: int) -> dict[str, str]:
        """The variables of the same app on another server."""
        url = urlsplit(env[self.variable])
        login = url.netloc.rpartition("@")[0]
        return {self.variable: url._replace(netloc=f"{login}@{host}:{port}").geturl()}


def _postgres(url: str, value: str | None) -> str | None:
    with psycopg.connect(url, autocommit=True) as connection:
        if value is not None:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
            connection.execute("TRUNCATE kept")
            connection.execute("INSERT INTO kept VALUES (%s)", (value,))
        row = connection.execute("SELECT value FROM kept").fetchone()
    return str(row[0]) if row else None


def _open_hba(url: str, conf: Path) -> None:
    with (conf / "pg_hba.conf").open("a") as file:
        file.write("host all all 127.0.0.1/32 scram-sha-256\n")
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_reload_conf()")


def _redis(url: str, value: str | None) -> str | None:
    with redis.Redis.from_url(url, decode_responses=True, socket_timeout=60) as client:
        if value is not None:
            client.set("shop:kept", value)
        found: Any = client.get("shop:kept")
    return found and str(found)


def _mongodb(url: str, value: str | None) -> str | None:
    client: Any = pymongo.MongoClient(url, serverSelectionTimeoutMS=30_000)
    with closing(client):
        kept = client.get_default_database().kept
        if value is not None:
            kept.replace_one({}, {"value": value}, upsert=True)
        found = kept.find_one()
    return found and str(found["value"])


def _toy(url: str, value: str | None) -> str | None:
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 0)
    with socket.create_connection(address, 60) as wire, wire.makefile("rwb") as lines:

        def ask(**request: object) -> Any:
            lines.write(json.dumps(request).encode() + b"\n")
            lines.flush()
            answer = json.loads(lines.readline())
            if "error" in answer:
                raise PermissionError(answer["error"])
            return answer["is"]

        ask(do="login", name=parts.username, password=parts.password)
        if value is not None:
            ask(do="put", key="shop/kept", value=value)
        found: str | None = ask(do="get", key="shop/kept")
    return found


POSTGRES = Driver(
    "postgres", "POSTGRES_URL", "shop", _postgres, psycopg.OperationalError, admit=_open_hba
)
REDIS = Driver("redis", "REDIS_URL", "shop:*", _redis, redis.AuthenticationError)
MONGODB = Driver(
    "mongodb", "MONGO_URI", "shop", _mongodb, OperationFailure, options=", outdated: true"
)
TOY = Driver("toy", "TOY_URL", "shop/", _toy, PermissionError)
