"""Connects by the variables of `mngdb env APP --for DRIVER` and nothing else, as an app does, and
prints the versions of the library and of TLS. What fails is left to Python to print."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

ENV = os.environ
#: Makes a table, writes a row, and tells the version of TLS.
WORK = (
    "CREATE TABLE IF NOT EXISTS words (word text)",
    "INSERT INTO words VALUES ('one')",
)
TLS = "SELECT coalesce(version, 'none') FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def said(distribution: str, tls: str) -> None:
    print(distribution, version(distribution), tls)


def psycopg() -> None:
    import psycopg

    with psycopg.connect(ENV["POSTGRES_URL"]) as connection:
        for statement in WORK:
            connection.execute(statement)
        said("psycopg", connection.execute(TLS).fetchone()[0])


def psycopg2() -> None:
    import psycopg2

    connection = psycopg2.connect(ENV["POSTGRES_URL"])
    with connection, connection.cursor() as cursor:
        for statement in (*WORK, TLS):
            cursor.execute(statement)
        said("psycopg2-binary", cursor.fetchone()[0])
    connection.close()


def libpq() -> None:
    import psycopg

    with psycopg.connect("") as connection:
        said("psycopg", connection.execute(TLS).fetchone()[0])


def asyncpg() -> None:
    import asyncpg

    async def work() -> None:
        connection = await asyncpg.connect(ENV["POSTGRES_URL"])
        for statement in WORK:
            await connection.execute(statement)
        said("asyncpg", await connection.fetchval(TLS))
        await connection.close()

    asyncio.run(work())


def sqlalchemy() -> None:
    from sqlalchemy import create_engine, text

    with create_engine(ENV["POSTGRES_URL"]).begin() as connection:
        for statement in WORK:
            connection.execute(text(statement))
        said("SQLAlchemy", connection.execute(text(TLS)).scalar())


def sqlalchemy_asyncpg() -> None:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    async def work() -> None:
        engine = create_async_engine(ENV["POSTGRES_URL"])
        async with engine.begin() as connection:
            for statement in WORK:
                await connection.execute(text(statement))
            said("SQLAlchemy", (await connection.execute(text(TLS))).scalar())
        await engine.dispose()

    asyncio.run(work())


def sqlalchemy_pg8000() -> None:
    from sqlalchemy import create_engine, text

    arguments: dict[str, Any] = {}
    if "POSTGRES_SSLROOTCERT" in ENV:
        arguments["ssl_context"] = ssl.create_default_context(cafile=ENV["POSTGRES_SSLROOTCERT"])
    engine = create_engine(ENV["POSTGRES_URL"], connect_args=arguments)
    with engine.begin() as connection:
        for statement in WORK:
            connection.execute(text(statement))
        said("pg8000", connection.execute(text(TLS)).scalar())


def tortoise() -> None:
    from tortoise import Tortoise

    async def work() -> None:
        await Tortoise.init(db_url=ENV["POSTGRES_URL"], modules={"models": ["__main__"]})
        connection = Tortoise.get_connection("default")
        for statement in WORK:
            await connection.execute_query(statement)
        _, rows = await connection.execute_query(TLS)
        said("tortoise-orm", rows[0][0])
        await Tortoise.close_connections()

    asyncio.run(work())


def django() -> None:
    """By both of the libraries that read DATABASE_URL."""
    import dj_database_url
    import environ
    from django.conf import settings

    databases = {"default": dj_database_url.config(), "other": environ.Env().db()}
    cache = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": ENV["REDIS_URL"],
        "KEY_PREFIX": ENV["REDIS_KEY_PREFIX"].rstrip(":"),
        "KEY_FUNCTION": lambda key, prefix, version: f"{prefix}:{version}:{key}",
    }
    settings.configure(DATABASES=databases, CACHES={"default": cache})
    from django.core.cache import cache as used
    from django.db import connections

    for name in databases:
        with connections[name].cursor() as cursor:
            for statement in (*WORK, TLS):
                cursor.execute(statement)
            tls = cursor.fetchone()[0]
    used.set("one", "1")
    assert used.get("one") == "1"
    said("Django", tls)


def redis_py() -> None:
    import redis

    with redis.Redis.from_url(ENV["REDIS_URL"]) as client:
        client.set("shop:one", "1")
        assert client.get("shop:one") == b"1"
        said("redis", _socket(client.connection_pool.get_connection()._sock))


def pymongo() -> None:
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]](ENV["MONGO_URI"], serverSelectionTimeoutMS=5000) as client:
        words = client.get_default_database().words
        words.insert_one({"word": "one"})
        assert words.find_one({"word": "one"})
        said("pymongo", "TLS" if client.options._options.get("tls") else "none")


def _socket(sock: Any) -> str:
    return str(sock.version()) if isinstance(sock, ssl.SSLSocket) else "none"


DRIVERS: dict[str, Callable[[], None]] = {
    **{one.__name__.replace("_", "-"): one for one in (psycopg, psycopg2, libpq, asyncpg)},
    **{one.__name__.replace("_", "-"): one for one in (sqlalchemy, sqlalchemy_asyncpg)},
    **{one.__name__.replace("_", "-"): one for one in (sqlalchemy_pg8000, tortoise, django)},
    **{one.__name__.replace("_", "-"): one for one in (redis_py, pymongo)},
}

if __name__ == "__main__":
    DRIVERS[sys.argv[1]]()
