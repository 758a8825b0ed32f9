"""A request as a stranger sends it. `python tests/web/ask.py JSON` asks from another network."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
from collections.abc import Mapping


def get(
    ca: str, port: int, path: str, headers: Mapping[str, str] | None = None, host: str = ""
) -> tuple[int, dict[str, str], str]:
    """A GET to `host` at a port of loopback, the certificate verified: status, headers, body."""
    context = ssl.create_default_context(cafile=ca)
    connection = http.client.HTTPSConnection(host, port, timeout=120)
    plain = socket.create_connection(("127.0.0.1", port), 120)
    try:
        connection.sock = context.wrap_socket(plain, server_hostname=host)
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()
        plain.close()


if __name__ == "__main__":
    print(json.dumps(get(**json.loads(sys.argv[1]))))
