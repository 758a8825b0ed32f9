"""A chat service whose passwords and signing keys may be replaced at any time.

Its settings are the variables of `mngdb env chat-app`: MONGO_URI, REDIS_URL, REDIS_KEY_PREFIX,
JWT_CURRENT, JWT_PREVIOUS. Where they are read from, the environment says (mngdb.client).
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import jwt
import pymongo
import redis
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from pymongo.errors import OperationFailure
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from mngdb.client import Connection, Settings

#: MongoDB's number for a refused login.
_AUTHENTICATION_FAILED = 18

#: A connection that ends under a command, as those of a withdrawn password do: it is sent again.
_RETRY = Retry(ExponentialWithJitterBackoff(cap=1, base=0.05), 3)

settings = Settings()
mongo: Connection[pymongo.MongoClient[dict[str, Any]]] = Connection(
    settings,
    "MONGO_URI",
    pymongo.MongoClient,
    lambda error: isinstance(error, OperationFailure) and error.code == _AUTHENTICATION_FAILED,
)
cache: Connection[redis.Redis] = Connection(
    settings,
    "REDIS_URL",
    lambda url: redis.Redis.from_url(url, retry=_RETRY),
    lambda error: isinstance(error, redis.AuthenticationError),
)
app = FastAPI(title="chat")


class User(BaseModel):
    """Somebody who joins."""

    username: str


class Message(BaseModel):
    """What somebody says."""

    text: str


def user(
    given: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
) -> str:
    """The name of whoever asks."""
    try:
        return str(settings.verify(given.credentials)["sub"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, "the token is not valid") from error


@app.post("/join")
def join(who: User) -> dict[str, str]:
    """Take a name; the answer is a token. A real service asks for a password."""

    def add(client: pymongo.MongoClient[dict[str, Any]]) -> None:
        users = client.get_default_database()["users"]
        seen = {"$set": {"seen": time.time()}}
        users.update_one({"username": who.username}, seen, upsert=True)

    mongo.run(add)
    return {"token": settings.sign({"sub": who.username}, lifetime=3600)}


@app.post("/rooms/{room}/messages")
def say(room: str, message: Message, name: Annotated[str, Depends(user)]) -> dict[str, str]:
    """Say something: it is kept, and told to whoever listens."""
    entry = {"roomId": room, "senderId": name, "text": message.text, "createdAt": time.time()}
    mongo.run(lambda client: client.get_default_database()["messages"].insert_one({**entry}))
    cache.run(lambda client: client.publish(_key(f"room:{room}"), json.dumps(entry)))
    cache.run(lambda client: client.set(_key(f"seen:{name}"), time.time(), ex=60))
    return {"room": room}


@app.get("/rooms/{room}/messages", dependencies=[Depends(user)])
def read(room: str) -> list[dict[str, Any]]:
    """The newest messages of a room, newest first."""

    def newest(client: pymongo.MongoClient[dict[str, Any]]) -> list[dict[str, Any]]:
        found = client.get_default_database()["messages"].find({"roomId": room}, {"_id": 0})
        return list(found.sort("createdAt", -1).limit(50))

    return mongo.run(newest)


@app.get("/health")
def health() -> dict[str, str]:
    """Whether both databases answer."""
    mongo.run(lambda client: client.get_default_database().command("ping"))
    cache.run(lambda client: client.ping())
    return {"status": "ok"}


def _key(name: str) -> str:
    return settings.get("REDIS_KEY_PREFIX", "") + name
