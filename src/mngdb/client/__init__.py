"""What a Python app needs of mngdb: its settings, as `mngdb env APP` prints them, and its tokens.

    from mngdb.client import Connection, Settings

    settings = Settings()
    mongo = Connection(settings, "MONGO_URI", pymongo.MongoClient)
    mongo.run(lambda client: client.get_default_database().rooms.find_one())

`AsyncConnection` is the same for asyncio.

Where they are read from is said by the environment:

- `MNGDB_SETTINGS=FILE`: the document that mngdb publishes for the app;
- `USE_AWS_SECRETS=true` with `AWS_REGION` and `AWS_SECRET_NAME` (several names: with commas): AWS
  Secrets Manager. `AWS_SECRETS_FAIL_OPEN=true` starts with the environment alone where AWS cannot
  be asked;
- else the environment.

What the document does not have, the environment answers. Names are upper case, also of a document
that has `mongo_uri`; `current` and `previous` are JWT_CURRENT and JWT_PREVIOUS.

This package imports nothing but a few modules of the standard library; boto3 (`mngdb[aws]`) and
PyJWT (`mngdb[client]`) are imported where they are used.
"""

from __future__ import annotations

from mngdb.client.asynchronous import AsyncConnection
from mngdb.client.connection import Connection
from mngdb.client.settings import Settings, SettingsError

__all__ = ["AsyncConnection", "Connection", "Settings", "SettingsError"]
