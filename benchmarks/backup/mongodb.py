"""MongoDB: a dump and its restore, beside a plain pymongo script and MongoDB's own tools."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pymongo
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri
from tests import golang
from tests.conftest import Cli, free_port

from benchmarks.backup import measured
from benchmarks.backup.bare import Bare
from benchmarks.backup.measured import (
    SIZE,
    VALUE,
    Ran,
    gigabytes,
    memory,
    mngdb,
    row,
    run,
    timed,
    turns,
    values,
)
from benchmarks.cold_up import program
from benchmarks.common import Row, python, stack

COLLECTIONS = [f"bench{number}" for number in range(4)]
#: Documents of each, and of a batch.
_EACH, _BATCH = SIZE // VALUE // len(COLLECTIONS), 2000
_BARE = "neither compressed nor encrypted"
_FILE = """
mongodb: {{port: PORT3, memory: 2gb}}
apps: {{shop: {{mongodb: shop}}}}
backup: {{store: {store}}}
"""
#: Neither compressed nor encrypted, and not of one moment.
_DUMP = """
import os, sys, bson, pymongo
client = pymongo.MongoClient(os.environ["URL"])
for name in client["shop"].list_collection_names(filter={"name": {"$regex": "^bench"}}):
    with open(f"{sys.argv[1]}/{name}.bson", "wb") as file:
        for document in client["shop"][name].find():
            file.write(bson.encode(document))
"""
_LOAD = """
import os, sys, bson, pymongo, pathlib, itertools
client = pymongo.MongoClient(os.environ["URL"])
for path in pathlib.Path(sys.argv[1]).glob("*.bson"):
    collection = client["shop"][path.stem]
    with path.open("rb") as file:
        documents = bson.decode_file_iter(file)
        while batch := list(itertools.islice(documents, 1000)):
            collection.insert_many(batch, ordered=False)
    collection.create_index("number")
"""


def rows() -> Iterator[Row]:
    """Rows of the dump, then of the restore."""
    with measured.folder() as folder, stack(_FILE.format(store=folder / "store")) as cli:
        cli.ok("up")
        url = cli.ok("url", "mongodb").strip()
        fill(url)
        peers = _Peers(folder, url)
        what = f"MongoDB with {gigabytes(SIZE)} of documents"
        found = turns({
            "mngdb": lambda: mngdb(cli, "backup"),
            "script": peers.script,
            "plain": lambda: peers.dump("plain"),
            "gzip": lambda: peers.dump("gzip", "--gzip"),
        })  # fmt: skip
        yield row(f"dump of {what}", found, "script", f"pymongo script, {_BARE}", 0.7)
        yield row("the same", found, "plain", f"mongodump, {_BARE}", 1.0)
        yield row("the same", found, "gzip", "mongodump --gzip, not encrypted", 1.0)
        yield memory("mngdb backup", "MongoDB", found)
        found = turns({
            "mngdb": lambda: _restored(cli),
            "script": peers.load,
            "plain": lambda: peers.restore("plain"),
            "gzip": lambda: peers.restore("gzip", "--gzip"),
        })  # fmt: skip
        yield row(f"restore of {what}", found, "script", f"pymongo script, {_BARE}", 0.7)
        yield row("the same", found, "plain", f"mongorestore, {_BARE}", 1.0)
        yield row("the same", found, "gzip", "mongorestore --gzip, not encrypted", 1.0)
        yield memory("mngdb restore", "MongoDB", found)


def _restored(cli: Cli) -> Ran:
    found = mngdb(cli, "restore", "mongodb", "--latest")
    cli.ok("restore", "--forget")
    return found


class _Peers:
    """What they dump is in `folder`. They restore into a server without a log, which no transaction
    and no point in time would need: it takes less than ours."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self._tools = {one: str(golang.mongo_tool(one)) for one in ("mongodump", "mongorestore")}
        self._config = folder / "tools.yaml"  # the password is not for arguments
        self._config.touch(0o600)
        at = parse_uri(url)  # a database in it would be the only one that is dumped
        login = f"{at['username']}:{quote_plus(at['password'])}"
        where = f"127.0.0.1:{at['nodelist'][0][1]}"
        self._config.write_text(f"uri: mongodb://{login}@{where}/?authSource=admin\n")

    def script(self) -> Ran:
        """The script's dump."""
        into = self._empty("script")
        return timed(lambda: self._run(self._url, *python(_DUMP, str(into))))

    def dump(self, name: str, *options: str) -> Ran:
        """That of MongoDB's tool."""
        into = self._empty(name)
        argv = (f"--config={self._config}", "--quiet", f"--out={into}", *options)
        return timed(lambda: self._run(self._url, self._tools["mongodump"], *argv))

    def load(self) -> Ran:
        """The script's restore."""
        return self._restored(lambda _: python(_LOAD, str(self._folder / "script")))

    def restore(self, name: str, *options: str) -> Ran:
        """That of MongoDB's tool."""
        argv = ("--quiet", "--nsInclude=shop.*", f"--dir={self._folder / name}", *options)
        return self._restored(lambda url: [self._tools["mongorestore"], f"--uri={url}", *argv])

    def _restored(self, argv: Callable[[str], Sequence[str]]) -> Ran:
        """What a command makes of an empty server at a URL."""
        port = free_port()
        url = f"mongodb://127.0.0.1:{port}/"
        server = _server(self._empty("data"), port, url)

        def work() -> None:
            self._run(url, *argv(url))
            with pymongo.MongoClient[Any](url) as client:
                client.admin.command("fsync")
                found = [client["shop"][name].estimated_document_count() for name in COLLECTIONS]
            if found != [_EACH] * len(COLLECTIONS):
                raise RuntimeError(f"{argv(url)[:3]} has restored {found} documents")

        try:
            return timed(server.start, work)
        finally:
            server.stop()

    def _run(self, url: str, *argv: str) -> None:
        run(argv, self._folder, {**os.environ, "URL": url})

    def _empty(self, name: str) -> Path:
        shutil.rmtree(self._folder / name, ignore_errors=True)
        (self._folder / name).mkdir()
        return self._folder / name


def _server(data: Path, port: int, url: str) -> Bare:
    argv = [
        program("mongodb").server, "--dbpath", str(data), "--port", str(port),
        "--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "1",
    ]  # fmt: skip

    def answers() -> bool:
        with (
            suppress(PyMongoError),
            pymongo.MongoClient[Any](url, serverSelectionTimeoutMS=50) as it,
        ):
            return bool(it.admin.command("ping")["ok"])
        return False

    return Bare(argv, data.parent, None, answers)


def fill(url: str) -> None:
    """About `SIZE` bytes of documents."""
    made = values(_EACH * len(COLLECTIONS))
    with pymongo.MongoClient[Any](url) as client:
        for name in COLLECTIONS:
            collection = client["shop"][name]
            collection.create_index("number")
            for begin in range(0, _EACH, _BATCH):
                numbers = range(begin, min(begin + _BATCH, _EACH))
                documents = [_document(number, *next(made)) for number in numbers]
                collection.insert_many(documents, ordered=False)


def _document(number: int, text: str, noise: bytes) -> dict[str, Any]:
    return {"_id": number, "number": number, "text": text, "noise": noise}
