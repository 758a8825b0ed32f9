"""What an app pays for `mngdb.client`: its import, a value of a file that is looked at each time,
and the vault in AWS: what mngdb itself asks it for one command (moto on loopback).

Import: processor time and memory of a new interpreter. Instead: python-dotenv, from which apps take
a .env once, and boto3 itself.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.secrets_server import SecretsServer, in_aws

from benchmarks.common import Row, median, python, seconds
from mngdb.client import Settings
from mngdb.secret import Secret
from mngdb.vaults.cached import CachedVault

_ROUNDS, _READS = 15, 2000
_IMPORT = """
import resource, sys, time
size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun = time.process_time()
__import__(sys.argv[1], fromlist=["x"])
print(time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size)
"""


def rows() -> Iterator[Row]:
    """The table."""
    ours, peer = [], []
    for _ in range(_ROUNDS):
        ours.append(_imported("mngdb.client"))
        peer.append(_imported("dotenv"))
    took, instead = median([t for t, _ in ours]), median([t for t, _ in peer])
    yield Row("`import mngdb.client`", took, instead, "import dotenv", "≤ 30 ms", took <= 0.03)
    size, other = median([float(s) for _, s in ours]), median([float(s) for _, s in peer])
    met = size <= 5e6
    yield Row("its memory", size, other, "import dotenv", "≤ 5 MB", met, unit="bytes")
    took = _read()
    yield Row("a value of `Settings`, from a file", took, None, "none", "≤ 0.1 ms", took <= 1e-4)
    yield _vault()


def _imported(module: str) -> tuple[float, int]:
    """Seconds of the processor, and bytes."""
    done = subprocess.run(python(_IMPORT, module), capture_output=True, text=True, check=True)
    took, kib = done.stdout.split()
    return float(took), int(kib) * 1024


def _read() -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.json"
        path.write_text(json.dumps({"MONGO_URI": "mongodb://x", "REDIS_URL": "redis://x"}))
        settings = Settings({"MNGDB_SETTINGS": str(path)})
        begun = time.process_time()
        for _ in range(_READS):
            settings["MONGO_URI"]
        return (time.process_time() - begun) / _READS


def _vault() -> Row:
    names = [f"redis_app{number}" for number in range(100)]
    with (
        tempfile.TemporaryDirectory() as folder,
        SecretsServer(Path(folder)).running() as server,
    ):
        in_aws(server).put({name: Secret("x" * 40) for name in names})
        plain = server.client()

        def one_by_one() -> None:
            for _ in names:
                plain.get_secret_value(SecretId="chat-app/database")

        def at_once() -> None:
            vault = CachedVault(in_aws(server), lambda: names)
            for name in names:
                vault.get(name)

        at_once()
        one_by_one()
        server.calls()
        at_once()
        asked = len(server.calls())
        took = [(seconds(at_once), seconds(one_by_one)) for _ in range(5)]
    ours, peer = median([one for one, _ in took]), median([one for _, one in took])
    what = f"100 secrets of the vault in AWS: {asked} request"
    return Row(what, ours, peer, "boto3, a request each", "1 request", asked == 1)
