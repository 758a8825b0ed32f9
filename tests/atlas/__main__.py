"""Runs one: reads its settings from a line of standard input, and ends when that is closed."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from tests.atlas import certificates
from tests.atlas.app import Atlas


def main() -> None:
    """Settings: `folder`, `port`, `ports` (for clusters), `speed` (seconds), `aws` (a URL)."""
    settings = json.loads(sys.stdin.readline())
    made = certificates.make(Path(settings["folder"]))
    atlas = Atlas(settings, made)
    config = uvicorn.Config(
        atlas.application,
        ssl_certfile=made.server,
        log_level="warning",
        lifespan="off",
        server_header=False,
    )
    server = uvicorn.Server(config)

    def wait() -> None:
        sys.stdin.read()
        server.should_exit = True

    with socket.create_server(("127.0.0.1", settings["port"])) as listener:
        threading.Thread(target=wait, daemon=True).start()
        print("ready", flush=True)
        try:
            asyncio.run(server.serve(sockets=[listener]))
        finally:
            atlas.close()
            # whoever started it may be gone
            shutil.rmtree(settings["folder"], ignore_errors=True)


if __name__ == "__main__":
    main()
