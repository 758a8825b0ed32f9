"""Real servers that speak S3, on loopback, from PyPI."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import boto3

from mngdb.stores.s3 import BucketStore
from tests.conftest import free_port

ID, SECRET = "tester", "not-a-secret-of-anybody"
_PROGRAMS = Path(sys.executable).parent
#: Seconds that a server may take to answer.
_START = 60.0
#: How often a server that dies is started.
_LIVES = 5


def bucket(port: int, prefix: str = "backups", **more: str) -> BucketStore:
    """The store of a server at this port."""
    options = {
        "endpoint": f"http://127.0.0.1:{port}",
        "region": "us-east-1",
        "access_key_id": ID,
        "secret_access_key": SECRET,
    }
    return BucketStore("bucket", prefix, options | more)


class Server:
    """A server on a port, over a folder. One that dies by itself is started anew, and what cannot
    be is told by `problem`."""

    def __init__(self, argv: list[str], port: int, folder: Path) -> None:
        self.argv, self.port, self.folder = argv, port, folder
        self.env: dict[str, str] = {}
        self.login = {"access_key_id": ID, "secret_access_key": SECRET}
        self.problem = ""
        self._wanted = False
        self._process: subprocess.Popen[bytes] | None = None

    def bucket(self, prefix: str = "backups", **more: str) -> BucketStore:
        """A store here."""
        return bucket(self.port, prefix, **self.login | more)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self._wanted = True
        process = self._begun()
        self._answers(process)
        threading.Thread(target=self._keep, args=(process,), daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._wanted = False
        process = self._process
        assert process is not None
        process.kill()  # asked to end, SeaweedFS takes its time
        process.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """In the block it runs."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def _begun(self) -> subprocess.Popen[bytes]:
        env = os.environ | self.env
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, cwd=self.folder, env=env, stdout=log, stderr=log
            )
        return self._process

    def _keep(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(_LIVES):
            process.wait()
            if not self._wanted:
                return
            process = self._begun()
        self.problem = f"{self.argv[0]} dies again and again: {self._said()}"

    def _answers(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + _START
        while process.poll() is None and time.monotonic() < end:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.argv[0]} does not answer: {self._said()}")

    def _said(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


def rclone_server(folder: Path) -> Server:
    """rclone's S3 server over a directory."""
    (folder / "data" / "bucket").mkdir(parents=True)
    port = free_port()
    argv = [
        *(str(_PROGRAMS / "rclone"), "serve", "s3", str(folder / "data")),
        *("--addr", f"127.0.0.1:{port}", "--auth-key", f"{ID},{SECRET}"),
        *("--config", str(folder / "rclone.conf"), "--vfs-cache-mode", "off"),
    ]
    return Server(argv, port, folder)


def seaweed_server(folder: Path) -> Server:
    """SeaweedFS with its S3 gateway."""
    data = folder / "data"
    data.mkdir()
    port = free_port()
    identity = {"name": ID, "credentials": [{"accessKey": ID, "secretKey": SECRET}]}
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{**identity, "actions": ["Admin"]}]}))
    names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"]
    names += ["filer.port", "filer.port.grpc", "s3.port.grpc"]
    argv = [
        *(str(_PROGRAMS / "weed"), "server", f"-dir={data}", "-ip=127.0.0.1", "-s3"),
        *(f"-s3.port={port}", f"-s3.config={config}", "-volume.max=20"),
        *(f"-{name}={free_port()}" for name in names),
        # these have fixed ports, and a second server on the machine dies of that
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
    ]
    return Server(argv, port, folder)


class MotoServer(Server):
    """moto, which has logins as AWS has them; all of it is in memory."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        super().__init__(argv, port, folder)
        self.env = {"INITIAL_NO_AUTH_ACTION_COUNT": "4"}  # before it asks: `_answers`

    def revoke(self) -> None:
        """The login is no more; there is another one."""
        iam, revoked = self._client("iam"), self.login["access_key_id"]
        self._admit(iam)
        iam.delete_access_key(UserName=ID, AccessKeyId=revoked)

    def _answers(self, process: subprocess.Popen[bytes]) -> None:
        super()._answers(process)
        iam = self._client("iam")
        iam.create_user(UserName=ID)
        allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=ID, PolicyName=ID, PolicyDocument=policy)
        self._admit(iam)
        self._client("s3").create_bucket(Bucket="bucket")

    def _admit(self, iam: Any) -> None:
        key = iam.create_access_key(UserName=ID)["AccessKey"]
        names = {"access_key_id": "AccessKeyId", "secret_access_key": "SecretAccessKey"}
        self.login = {ours: key[theirs] for ours, theirs in names.items()}

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=self.login["access_key_id"],
            aws_secret_access_key=self.login["secret_access_key"],
        )


@contextlib.contextmanager
def rclone(folder: Path) -> Iterator[int]:
    """rclone's server, running; gives the port."""
    with rclone_server(folder).running() as server:
        yield server.port
