"""An Atlas for a module's tests, and AWS' network beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.atlas.handle import Handle, atlas
from tests.conftest import Cli, free_port

if TYPE_CHECKING:
    from tests.atlas.inside import Inside

#: Where both are, and whose login both take.
REGION = "ap-northeast-2"
LOGIN = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@pytest.fixture(scope="module")
def fake() -> Iterator[Handle]:
    with atlas() as found:
        yield found


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """One in this process, without servers."""
    from tests.atlas.inside import in_process

    with in_process(tmp_path_factory.mktemp("atlas")) as found:
        yield found


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The URL of moto's server."""
    from moto.server import ThreadedMotoServer  # a second, and few tests need it

    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def chat(fake: Handle, more: str = "") -> str:
    """The file of a stack that has nothing but a cluster there, and an app."""
    return (
        f"name: chat\nmongodb:\n  target:\n    atlas: {{url: '{fake.url}', "
        f"region: {REGION}, protected: false}}\n{more}apps: {{shop: {{mongodb: chatdb}}}}\n"
    )


def beside(fake: Handle, folder: Path) -> Cli:
    """A stack whose clusters are in that Atlas, and do not wait long."""
    found = Cli(folder)
    found.env = {**fake.environment, "MNGDB_ATLAS_PACE": "0.02"}
    return found
