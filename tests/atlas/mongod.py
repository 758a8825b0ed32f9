"""The real mongod behind a cluster: a replica set of one, with TLS and logins."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from mngdb.targets.local import programs
from tests.atlas.certificates import Certificates
from tests.atlas.world import Document

#: As which the automation of Atlas itself logs in.
_INTERNAL = "mms-automation"
#: What Atlas' own role is made of, as far as a test can tell.
_ATLAS_ADMIN = (
    *("readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor", "enableSharding", "backup"),
)


class Mongod:
    """One server. `start` and `stop` take a second or so; both may be said again."""

    def __init__(
        self, folder: Path, port: int, replica_set: str, certificates: Certificates
    ) -> None:
        self.folder, self.port, self.replica_set = folder, port, replica_set
        self._certificates = certificates
        self._password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        self.client: pymongo.MongoClient[Document] | None = None
        self.version = ""

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and make of it what Atlas would. Raises PyMongoError, OSError."""
        if self._process is not None:
            return
        new = not (self.folder / "WiredTiger").exists()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = self.folder.with_suffix(".key")
        if new:
            key.touch(mode=0o600)
            key.write_text(secrets.token_hex(64))
        program = programs.find("mongodb", None, None, None)
        self.version = program.version
        argv = [
            program.server,
            "--port",
            str(self.port),
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
        ]
        argv += ["--dbpath", str(self.folder), "--logpath", str(self.folder.with_suffix(".log"))]
        argv += ["--replSet", self.replica_set, "--keyFile", str(key), "--oplogSize", "990"]
        argv += [
            "--tlsMode",
            "requireTLS",
            "--tlsCertificateKeyFile",
            str(self._certificates.server),
        ]
        argv += [
            "--tlsCAFile",
            str(self._certificates.ca),
            "--tlsAllowConnectionsWithoutCertificates",
        ]
        argv += ["--wiredTigerCacheSizeGB", "0.25"]
        for parameter in (
            "diagnosticDataCollectionEnabled=false",
            "ttlMonitorSleepSecs=1",
            "shutdownTimeoutMillisForSignaledShutdown=100",
        ):
            argv += ["--setParameter", parameter]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # who ends this Atlas by force finds them here
        self.folder.with_suffix(".pid").write_text(str(self._process.pid))
        if new:
            self._initiate()
        self.client = self._connect(username=_INTERNAL, password=self._password)
        self.client.admin.command("ping")

    def _connect(self, **more: Any) -> pymongo.MongoClient[Document]:
        trusted = str(self._certificates.ca)
        more |= {"tls": True, "tlsCAFile": trusted, "serverSelectionTimeoutMS": 60_000}
        return pymongo.MongoClient("127.0.0.1", self.port, directConnection=True, **more)

    def _initiate(self) -> None:
        member = {"_id": 0, "host": self.host}
        with self._connect() as client:
            client.admin.command("replSetInitiate", {"_id": self.replica_set, "members": [member]})
            while not client.admin.command("hello")["isWritablePrimary"]:
                pass
            roles = ["root", "__system"]  # applyOps needs the second
            client.admin.command("createUser", _INTERNAL, pwd=self._password, roles=roles)
        with self._connect(username=_INTERNAL, password=self._password) as client:
            everywhere = [{"role": role, "db": "admin"} for role in _ATLAS_ADMIN]
            client.admin.command("createRole", "atlasAdmin", privileges=[], roles=everywhere)

    def stop(self) -> None:
        """Stop it; its data stays."""
        if self.client is not None:
            self.client.close()
            self.client = None
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
            self.folder.with_suffix(".pid").unlink()

    def kill(self) -> None:
        """End it and remove what it wrote."""
        if self._process is not None:
            self._process.kill()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- logins

    def set_role(self, name: str, document: Document) -> None:
        """Make a custom role what the API says. Raises PyMongoError."""
        wanted = {"privileges": _privileges(document), "roles": _inherited(document)}
        self._write("createRole", "updateRole", name, wanted)

    def drop_role(self, name: str) -> None:
        """Remove a custom role, if it is there."""
        self._drop("dropRole", name)

    def set_user(self, name: str, document: Document, password: str) -> None:
        """Make a user what the API says. Raises PyMongoError."""
        roles = [{"role": one["roleName"], "db": one["databaseName"]} for one in document["roles"]]
        self._write("createUser", "updateUser", name, {"pwd": password, "roles": roles})

    def drop_user(self, name: str) -> None:
        """Remove a user, if it is there."""
        self._drop("dropUser", name)

    def _write(self, create: str, update: str, name: str, wanted: Document) -> None:
        admin = self._admin()
        try:
            admin.command(create, name, **wanted)
        except PyMongoError as error:
            if getattr(error, "code", None) not in (51002, 51003):  # it exists
                raise
            admin.command(update, name, **wanted)

    def _drop(self, command: str, name: str) -> None:
        try:
            self._admin().command(command, name)
        except PyMongoError as error:
            if getattr(error, "code", None) not in (11, 31):  # not there
                raise

    def _admin(self) -> Any:
        assert self.client is not None
        return self.client.admin


@dataclass
class Cluster:
    """A cluster as the API gives it, and its server."""

    document: Document
    mongod: Mongod
    schedule: Document
    process_args: Document = field(default_factory=dict)
    snapshots: dict[str, Document] = field(default_factory=dict)
    dumps: dict[str, Any] = field(default_factory=dict)  # what a snapshot holds
    restores: dict[str, Document] = field(default_factory=dict)
    work: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["name"])

    def do(self, *work: Any) -> Future[Any]:
        """Have its server do something, after what was asked before."""
        return self.work.submit(*work)

    def remove(self) -> None:
        """End its server."""
        self.do(self.mongod.kill).result()
        self.work.shutdown()


def _privileges(document: Document) -> list[Document]:
    found = []
    for action in document.get("actions") or ():
        for resource in action["resources"]:
            where = {"db": resource["db"], "collection": resource["collection"]}
            if resource.get("cluster"):
                where = {"cluster": True}
            found.append({"resource": where, "actions": [_camel(action["action"])]})
    return found


def _inherited(document: Document) -> list[Document]:
    return [{"role": one["role"], "db": one["db"]} for one in document.get("inheritedRoles") or ()]


def _camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return {"useUuid": "useUUID"}.get(made := first + "".join(map(str.title, rest)), made)


def logins(
    users: Iterable[tuple[str, Document, str]], roles: dict[str, Document], mongod: Mongod
) -> None:
    """Make all logins of a project on a new server."""
    for name in ordered(roles):
        mongod.set_role(name, roles[name])
    for name, document, password in users:
        mongod.set_user(name, document, password)


def ordered(roles: dict[str, Document]) -> list[str]:
    """Custom roles, after those that they inherit."""
    found: list[str] = []

    def visit(name: str) -> None:
        for one in roles[name].get("inheritedRoles") or ():
            if one["role"] in roles and one["role"] not in found:
                visit(one["role"])
        if name not in found:
            found.append(name)

    for name in roles:
        visit(name)
    return found
