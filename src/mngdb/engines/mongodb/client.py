"""The one place that talks to pymongo: sessions, and driver errors turned into ours."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import quote

import pymongo
from bson import Int64, Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from msgspec import Struct
from msgspec.structs import replace
from pymongo import errors as driver
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from mngdb import log
from mngdb.dial import blamed, dial, tcp
from mngdb.engines.mongodb import access as logins
from mngdb.engines.mongodb import probe
from mngdb.engines.mongodb.raw import batch
from mngdb.errors import ConnectError, Kind, MngdbError, UnobservableError
from mngdb.model import Access
from mngdb.spec.engine_info import MONGODB
from mngdb.tls_probe import accepts_tls

Document = dict[str, Any]
#: A cursor whose first batch has all indexes: a collection has at most 64.
EVERY_INDEX: Document = {"batchSize": 1000}

#: For writes in a restore, which is done anew when it fails: its last one waits for the disk.
QUICK: Document = {"w": 1}

#: What our connections are called: what they do is not the apps'.
NAME = "mngdb"
#: Server error codes: https://www.mongodb.com/docs/manual/reference/error-codes/
UNAUTHORIZED = 13
AUTHENTICATION_FAILED = 18
ALREADY_INITIALIZED = 23
NAMESPACE_NOT_FOUND = 26
NOT_YET_INITIALIZED = 94
STALE_TERM = 135
VIEW = 166
DUPLICATE_KEY = 11000
OUT_OF_DISK = 14031
ATLAS_AUTH = 8000

#: Bytes of documents that are fetched at a time: little memory is taken, and few questions are
#: asked.
_BATCH = 2 << 20
#: Documents that are fetched at a time where nobody knows their size.
_USUAL = 1000
#: How replies are read that have documents: none of these becomes an object, and nothing in them,
#: which an app may have written, is an error.
RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
#: Seconds that a question may take; index builds have no limit.
_ANSWER = 30.0


class Refused(MngdbError):  # noqa: N818 — it is the answer, not a fault
    """The server answered, and said no. `code` and `details` are its own."""

    def __init__(self, message: str, code: int = 0, details: Mapping[str, Any] | None = None):
        super().__init__(message)
        self.code = code
        self.details = details or {}

    @property
    def alone(self) -> bool:
        """Whether a member of a replica set would have taken it: there is no one code for that."""
        return "standalone" in self.message


class Session(Struct, frozen=True):
    """A login. `database` is the one that its access names."""

    client: pymongo.MongoClient[Document]
    access: Access

    @property
    def database(self) -> str:
        return self.access.database or logins.USERS_IN

    def command(
        self,
        name: str,
        value: Any = 1,
        *,
        on: str = "admin",
        limit: float | None = _ANSWER,
        raw: bool = False,
        **rest: Any,
    ) -> Document:
        """Run a database command. Raises Refused or ConnectError; `limit` in seconds. With `raw`,
        documents in the reply stay bytes (`RAW`)."""
        with _translated(self.access), pymongo.timeout(limit):
            if raw:
                return {**self.client[on].command({name: value, **rest}, codec_options=RAW)}
            return self.client[on].command({name: value, **rest})

    def ask(self, database: str, command: Document) -> Document:
        """Run a command of a person's, which may take any time. Raises Refused or ConnectError."""
        with _translated(self.access):
            return self.client[database].command(command)

    def documents(self, database: str, command: Document) -> Iterator[Document]:
        """The documents of such a command's cursor, as they come."""
        with self.client.start_session(causal_consistency=False) as session:
            while True:
                with _translated(self.access):
                    reply = self.client[database].command(command, session=session)
                cursor = reply["cursor"]
                collection = cursor["ns"].partition(".")[2]
                try:
                    yield from cursor.get("firstBatch") or cursor.get("nextBatch") or ()
                except GeneratorExit:
                    self._kill(database, collection, cursor["id"], session)
                    raise
                if not cursor["id"]:
                    return
                command = {"getMore": Int64(cursor["id"]), "collection": collection}

    def collections(self, database: str) -> dict[str, Document]:
        """The database's collections and views, with their types and options, whose values are as
        the server has them (`RAW`)."""
        with _translated(self.access), pymongo.timeout(_ANSWER):
            # not the driver's own list, which reads the reply in its usual way
            pages = self._pages(
                database, "$cmd.listCollections", {"listCollections": 1, "cursor": {}}, _USUAL
            )
            listed = (dict(RawBSONDocument(bytes(one), RAW)) for page in pages for one in page)
            return {one["name"]: one for one in listed}

    def indexes(self, database: str, collection: str) -> list[Document]:
        """A collection's indexes, whose values are as the server has them (`RAW`). Raises Refused
        where there is none, or where it is a view."""
        asked = {"listIndexes": collection, "cursor": EVERY_INDEX}
        with _translated(self.access), pymongo.timeout(_ANSWER):
            reply = self.client[database].command(asked, codec_options=RAW)
            return [dict(one) for one in reply["cursor"]["firstBatch"]]

    def batches(
        self, database: str, collection: str, at: Timestamp | None = None
    ) -> Iterator[list[memoryview]]:
        """The documents of a collection in the order in which they lie on the disk, about 2 MB at a
        time; `at`: as they were at that cluster time. Has no limit of time: a store that takes them
        may be slow. Raises Refused or ConnectError."""
        concern: Document = {"level": "majority"}
        if at is not None:
            concern = {"level": "snapshot", "atClusterTime": at}
        count = self._about(_BATCH, database, collection)
        asked = {"find": collection, "noCursorTimeout": True, "batchSize": count}
        yield from self._pages(database, collection, {**asked, "readConcern": concern}, count)

    def _pages(
        self, database: str, collection: str, asked: Document, count: int
    ) -> Iterator[list[memoryview]]:
        """The documents of a command's cursor, `count` at a time after the first."""
        with self.client.start_session(causal_consistency=False) as session:
            while True:
                with _translated(self.access):
                    reply = self.client[database].command(asked, codec_options=RAW, session=session)
                documents, cursor = batch(reply["cursor"].raw)
                if documents:
                    try:
                        yield documents
                    except GeneratorExit:
                        self._kill(database, collection, cursor, session)
                        raise
                if not cursor:
                    return
                asked = {"getMore": Int64(cursor), "collection": collection, "batchSize": count}

    def _kill(self, database: str, collection: str, cursor: int, session: ClientSession) -> None:
        """Let the server forget a cursor that was not read to its end."""
        asked = {"killCursors": collection, "cursors": [Int64(cursor)]}
        with suppress(driver.PyMongoError), pymongo.timeout(_ANSWER):
            self.client[database].command(asked, session=session)

    def _about(self, size: int, database: str, collection: str) -> int:
        """How many documents have about `size` bytes; `_USUAL` where the server does not tell."""
        try:
            average = self.command("collStats", collection, on=database).get("avgObjSize")
        except Refused:
            return _USUAL
        return max(1, int(size / average)) if average else _USUAL

    def oplog(self, since: Timestamp, most: int, wait: float, limit: float) -> Iterator[bytes]:
        """The entries from `since` on that a majority has, as `batches`, up to `most` at a time;
        nothing where there were none for `wait` seconds. Ends when the server's cursor does.
        `limit`: seconds in which the server has to answer."""
        concern = ReadConcern("majority")
        source = self.client["local"].get_collection("oplog.rs", read_concern=concern)
        with _translated(self.access):
            cursor: Any = source.find_raw_batches(
                {"ts": {"$gte": since}},
                cursor_type=pymongo.CursorType.TAILABLE_AWAIT,
                batch_size=most,
            ).max_await_time_ms(int(wait * 1000))
        with closing(cursor):
            while True:
                with _translated(self.access), pymongo.timeout(limit):
                    batch = next(cursor, b"")
                if not batch and not cursor.alive:
                    return
                yield batch


def _listeners() -> list[Any]:
    """Who tells the log of each command."""
    if not log.on():
        return []
    from mngdb.engines.mongodb.listener import Listener

    return [Listener(__name__)]


@contextmanager
def connect(access: Access, timeout: float) -> Iterator[Session]:
    """A session that has logged in. Raises ConnectError; `timeout` in seconds."""
    at = logins.url(logins.proving(access))
    if access.socket is not None:
        if access.tls:
            reach(access, timeout)  # the driver will see the tunnel's end for the server
        at = logins.url(logins.proving(_through(access)))
    elif "," not in access.host and logins.SRV not in access.options:
        reach(access, timeout)  # a driver would try a closed port until its time is over
    milliseconds = max(1, int(timeout * 1000))
    with _translated(access):
        client: pymongo.MongoClient[Document] = pymongo.MongoClient(
            at,
            appname=NAME,
            maxPoolSize=4,
            connectTimeoutMS=milliseconds,
            serverSelectionTimeoutMS=milliseconds,
            serverMonitoringMode="poll",  # one thread and one connection less than streaming
            event_listeners=_listeners(),
            # what apps have written into their views and indexes keeps nobody from reading lists
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
            unicode_decode_error_handler="replace",
        )
    try:
        try:
            with _translated(access), _login(access), pymongo.timeout(timeout):
                client.admin.command("ping")
        except ConnectError as error:
            raise blamed(access, error) from None
        yield Session(client, access)
    finally:
        client.close()


@contextmanager
def _login(access: Access) -> Iterator[None]:
    """Where the server did not go through SCRAM to its end, which only one that has the password's
    verifier can: the driver says so without a code, or falls over what it was told."""
    try:
        yield
    except driver.OperationFailure as error:
        if error.code is not None:
            raise
        raise _unproved(access, " ".join(str(error).split()).rstrip(".")) from None
    except (LookupError, ValueError, TypeError, AttributeError, BSONError):
        raise _unproved(access, "it does not speak the MongoDB protocol") from None


def _unproved(access: Access, how: str) -> ConnectError:
    server = access.proof.unit if access.proof else "the MongoDB of the file"
    return ConnectError(
        f"the server at {logins.seeds(access)} did not prove that it is {server}; no password "
        f"was sent: {how}",
        "see what listens there",
        "stranger",
    )


def _through(access: Access) -> Access:
    """The same through the tunnel, where the other members of a set are out of reach. The driver
    verifies the name by which it connects: encrypted, that is loopback's."""
    options = {k: v for k, v in access.options.items() if k != "replicaSet"}
    options["directConnection"] = "true"
    if access.tls:
        host, port = tcp(access)
        return replace(access, host=host, port=port, options=options)
    return replace(access, host=quote(_socket(access), safe=""), options=options)


def _socket(access: Access) -> str:
    return f"{access.socket}/{MONGODB.socket_file(access.port)}"


def reach(access: Access, timeout: float) -> None:
    """Open and close a connection, with TLS where it is asked for. Raises ConnectError."""
    where = logins.seeds(access)
    try:
        with dial(access, timeout) as plain:
            if access.tls:
                context = ssl.create_default_context(cafile=access.ca)
                context.wrap_socket(plain, server_hostname=access.host).close()
    except ssl.SSLCertVerificationError as error:
        raise _failure(str(error), access, where) from None
    except (ssl.SSLError, ConnectionResetError):
        if access.socket is not None and not probe.answers_plain((_socket(access), None)):
            # the tunnel is there before the server is
            raise ConnectError(
                f"MongoDB does not answer at {where}", f"see 'mngdb logs {access.instance}'", "down"
            ) from None
        raise ConnectError(
            f"{where} does not speak TLS", "compare 'tls' on both sides", "tls"
        ) from None
    except FileNotFoundError:
        raise ConnectError(
            f"the CA file {access.ca} does not exist", "run 'mngdb up'", "tls"
        ) from None
    except OSError as error:
        raise ConnectError(
            f"MongoDB does not answer at {where}: {error.strerror or error}",
            f"start it with 'mngdb up', or see 'mngdb logs {access.instance}'",
            "down",
        ) from None


@contextmanager
def _translated(access: Access) -> Iterator[None]:
    """Driver errors become ours, here and nowhere else. No text of ours holds a secret."""
    where = logins.seeds(access)
    try:
        yield
    except driver.OperationFailure as error:
        raise _refusal(error, access, where) from None
    except driver.ConfigurationError as error:
        raise ConnectError(f"{where}: {error}", kind="other") from None
    except driver.ConnectionFailure as error:
        raise _failure(str(error), access, where) from None
    except driver.PyMongoError as error:
        raise Refused(f"{where}: {error}") from None
    except ssl.SSLError as error:
        raise ConnectError(f"{where}: {error.reason or error}", kind="tls") from None
    except OSError as error:  # the driver opens the CA file itself
        raise ConnectError(f"{where}: {error.strerror}: {error.filename}", kind="tls") from None


def _refusal(error: driver.OperationFailure, access: Access, where: str) -> MngdbError:
    details = error.details or {}
    # the server repeats the whole command, with the session's and the cluster's own marks
    text = re.sub(
        r" to execute command \{ (\w+):.*", r" to run \1", str(details.get("errmsg") or error)
    )
    if error.code in (AUTHENTICATION_FAILED, ATLAS_AUTH):
        if not _initiated(access):
            return _uninitiated(where, "auth")
        return ConnectError(
            f"{where} refuses the login {access.user}: the login does not exist, or its secret "
            "is wrong",
            "'mngdb up' sets the login's secret from the vault",
            "auth",
        )
    if error.code == OUT_OF_DISK:
        return ConnectError(f"the disk of {where} is full: {text}", "free space on it", "disk")
    return Refused(text, error.code or 0, details)


#: Part of the driver's text, kind, our sentence. The driver gives no codes for these.
_CAUSES: tuple[tuple[str, Kind, str], ...] = (
    (
        "certificate verify failed",
        "tls",
        "the certificate of {where} is not signed by the CA, has expired, or names another host",
    ),
    ("SSL", "tls", "{where} failed the TLS handshake"),
    ("Connection refused", "down", "MongoDB does not answer at {where}"),
    ("Name or service not known", "down", "the host name of {where} cannot be resolved"),
    ("No replica set members available", "other", "{where} belongs to another replica set"),
    ("timed out", "down", "{where} does not answer in time"),
)


def _failure(text: str, access: Access, where: str) -> ConnectError:
    if "connection closed" in text or "reset by peer" in text:
        if not access.tls and accepts_tls(lambda: dial(access, 2.0)):
            return ConnectError(
                f"{where} requires TLS, but this connection does not use it",
                "add 'tls: true'",
                "tls",
            )
        if access.socket is not None:
            return ConnectError(
                f"MongoDB does not answer at {where}", f"see 'mngdb logs {access.instance}'", "down"
            )
        return ConnectError(
            f"{where} closes new connections at once; its connection limit may be reached",
            "raise max_connections, or find who holds them",
            "limit",
        )
    if "No primary" in text or "No replica set members match" in text:
        return no_primary(access) if _initiated(access) else _uninitiated(where, "primary")
    for part, kind, sentence in _CAUSES:
        if part in text:
            return ConnectError(
                sentence.format(where=where), f"see 'mngdb logs {access.instance}'", kind
            )
    return ConnectError(f"{where}: {text.partition(', Timeout:')[0]}", kind="down")


def no_primary(access: Access) -> ConnectError:
    """What is said of a replica set of which no member takes writes."""
    return ConnectError(
        f"{logins.seeds(access)} has no primary: it stepped down, holds an election, or has lost "
        "members of its replica set",
        "a single server becomes primary again when its step-down period ends, 60 s by default, or "
        f"at once: mngdb shell {access.instance} 'db.adminCommand({{replSetFreeze: 0}})'; "
        "'mngdb plan' names members that are unreachable",
        "primary",
    )


def _uninitiated(where: str, kind: Kind) -> ConnectError:
    return ConnectError(
        f"the replica set of {where} is not initiated yet", "'mngdb up' initiates it", kind
    )


def _initiated(access: Access) -> bool:
    """Whether the server has its replica set; so also where it cannot be asked."""
    if access.socket is None and ("," in access.host or logins.SRV in access.options):
        return True
    at = (access.host, access.port) if access.socket is None else (_socket(access), None)
    try:
        return probe.initiated(at, access.tls)
    except UnobservableError:
        return True
