"""Clients that follow what is published for their app by `mngdb.client`: each login is a new one,
with the settings as they are at that moment."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mngdb.client import Settings
from tests.conftest import Cli

Values = Mapping[str, str]


def published(cli: Cli, app: str) -> Path:
    """The file that an app reads."""
    return cli.state / "secrets" / "apps" / app / "settings.json"


def settings(cli: Cli, app: str) -> dict[str, str]:
    """What an app reads now."""
    found: dict[str, str] = json.loads(published(cli, app).read_text())
    return found


def reader(document: Path) -> Callable[[], Values]:
    """What an app does that is told of this document: its settings, from one moment to the next."""
    return Settings({"MNGDB_SETTINGS": str(document)}).snapshot


def _postgres(found: Values) -> None:
    with psycopg.connect(found["POSTGRES_URL"], connect_timeout=30) as connection:
        connection.execute("SELECT 1")


def _redis(found: Values) -> None:
    at_once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(found["REDIS_URL"], retry=at_once, socket_timeout=60) as client:
        client.ping()


def _mongodb(found: Values) -> None:
    # one connection: what is counted is logins
    url = re.sub("&replicaSet=[^&]*", "&directConnection=true", found["MONGO_URI"])
    client: Any = pymongo.MongoClient(
        url, serverSelectionTimeoutMS=60_000, maxPoolSize=1, serverMonitoringMode="poll"
    )
    with closing(client):
        client.get_default_database().command("ping")


#: Engine to one new login by an app's settings, which raises what the driver raises.
LOGINS: dict[str, Callable[[Values], None]] = {
    "postgres": _postgres,
    "redis": _redis,
    "mongodb": _mongodb,
}


class Followers:
    """What the clients of one app have tried, by engine."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.errors: list[str] = []


@contextmanager
def following(read: Callable[[], Values], threads: Mapping[str, int]) -> Iterator[Followers]:
    """Clients in the background, so many of each engine, that log in again and again by what `read`
    gives."""
    found, over = Followers(), threading.Event()

    def work(engine: str) -> None:
        while not over.is_set():
            now = read()
            try:
                LOGINS[engine](now)
            except Exception as error:  # noqa: BLE001 - each of them is a client turned away
                found.refused[engine] += 1
                found.errors.append(f"{time.time():.2f} {engine}: {error}")
            found.tried[engine] += 1

    every = [threading.Thread(target=work, args=(e,)) for e, n in threads.items() for _ in range(n)]
    for thread in every:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in every:
            thread.join()


def lets_in(engine: str, found: Values) -> bool:
    """Whether a login succeeds."""
    try:
        LOGINS[engine](found)
    except (psycopg.OperationalError, redis.AuthenticationError, pymongo.errors.OperationFailure):
        return False
    return True


def main(document: str, addresses: str) -> None:
    """Follow a document until standard input ends, then print what came of it, and who is let in by
    the document of the beginning and by that of the end. `addresses` are JSON: what stands in the
    document for where it is reached from here."""

    theirs, moved = reader(Path(document)), json.loads(addresses)

    def read() -> Values:
        found = dict(theirs())
        for there, here in moved.items():
            found = {name: value.replace(there, here) for name, value in found.items()}
        return found

    before = read()
    with following(read, dict.fromkeys(LOGINS, 1)) as found:
        print("begun", flush=True)
        sys.stdin.read()
    old, new = ([one for one in LOGINS if lets_in(one, now)] for now in (before, read()))
    errors = found.errors[:3]
    told = {"tried": found.tried, "refused": found.refused, "errors": errors, "old": old}
    print(json.dumps({**told, "new": new}))


if __name__ == "__main__":
    main(*sys.argv[1:])
