"""Real servers that speak S3, on loopback, from PyPI."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mngdb.stores.s3 import BucketStore
from tests.conftest import free_port

ID, SECRET = "tester", "not-a-secret-of-anybody"
_PROGRAMS = Path(sys.executable).parent
#: Seconds that a server may take to answer.
_START = 60.0


def bucket(port: int, prefix: str = "backups", **more: str) -> BucketStore:
    """The store of a server at this port."""
    options = {
        "endpoint": f"http://127.0.0.1:{port}",
        "region": "us-east-1",
        "access_key_id": ID,
        "secret_access_key": SECRET,
    }
    return BucketStore("bucket", prefix, options | more)


@contextlib.contextmanager
def rclone(folder: Path) -> Iterator[int]:
    """rclone's S3 server over a directory; gives the port."""
    (folder / "data" / "bucket").mkdir(parents=True)
    port = free_port()
    argv = [
        *(str(_PROGRAMS / "rclone"), "serve", "s3", str(folder / "data")),
        *("--addr", f"127.0.0.1:{port}", "--auth-key", f"{ID},{SECRET}"),
        *("--config", str(folder / "rclone.conf"), "--vfs-cache-mode", "off"),
    ]
    with _running(argv, port, folder):
        yield port


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[int]:
    """SeaweedFS with its S3 gateway; gives the port."""
    data = folder / "data"
    data.mkdir()
    port, others = free_port(), [free_port() for _ in range(8)]
    identity = {"name": ID, "credentials": [{"accessKey": ID, "secretKey": SECRET}]}
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{**identity, "actions": ["Admin"]}]}))
    names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"]
    names += ["filer.port", "filer.port.grpc", "s3.port.grpc", "s3.iam.port"]
    argv = [
        *(str(_PROGRAMS / "weed"), "server", f"-dir={data}", "-ip=127.0.0.1", "-s3"),
        *(f"-s3.port={port}", f"-s3.config={config}", "-volume.max=20"),
        *(f"-{name}={one}" for name, one in zip(names[:7], others, strict=False)),
    ]
    with _running(argv, port, folder):
        yield port


@contextlib.contextmanager
def _running(argv: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log)
    try:
        _answers(process, port, folder / "log")
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not answer: {log.read_text()[-2000:]}")
