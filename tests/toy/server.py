#!/usr/bin/python3
"""A small server for tests: strings by key, for logins that each have a prefix.

    toy-server --version
    toy-server CONF

CONF is JSON: `host`, `port`, `data` (a folder), `admin` (the hash of that login's password) and
`limit` (connections). A request is a line of JSON, and so is its answer. Logins are in
`data/logins.json`, each with hash, prefix and mark; values in `data/values.json`, and every one
that was ever put, with its moment, in `data/log.json`.
"""

import hashlib
import json
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import Any

VERSION = "1.2.3"


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, conf: dict[str, Any]) -> None:
        self.conf, self.begun, self.open = conf, time.time(), 0
        self.file, self.lock = Path(conf["data"], "logins.json"), threading.Lock()
        self.values_file = Path(conf["data"], "values.json")
        self.logins: dict[str, Any] = self.read(self.file)
        self.values: dict[str, str] = self.read(self.values_file)
        self.log_file = Path(conf["data"], "log.json")
        self.log: list[tuple[float, str, str]] = self.read(self.log_file) or []
        super().__init__((conf["host"], conf["port"]), Handler)

    @staticmethod
    def read(file: Path) -> Any:
        return json.loads(file.read_text()) if file.exists() else {}

    def keep(self) -> None:
        self.file.write_text(json.dumps(self.logins))
        self.values_file.write_text(json.dumps(self.values))
        self.log_file.write_text(json.dumps(self.log))


class Handler(socketserver.StreamRequestHandler):
    server: Server
    who = ""

    def handle(self) -> None:
        with self.server.lock:
            self.server.open += 1
        try:
            for line in self.rfile:
                request = json.loads(line)
                try:
                    answer = {"is": self.answer(request.pop("do"), **request)}
                except (PermissionError, KeyError) as error:
                    answer = {"error": str(error)}
                self.wfile.write(json.dumps(answer).encode() + b"\n")
        finally:
            with self.server.lock:
                self.server.open -= 1

    def answer(self, verb: str, **given: Any) -> object:
        server = self.server
        if verb == "login":
            known = server.logins.get(given["name"], {}).get("hash")
            if given["name"] == "admin":
                known = server.conf["admin"]
            if known != hashlib.sha256(given["password"].encode()).hexdigest():
                raise PermissionError("wrong name or password")
            self.who = given["name"]
            return "ok"
        if not self.who:
            raise PermissionError("log in first")
        if verb == "info":
            up, limit = time.time() - server.begun, server.conf["limit"]
            return {"version": VERSION, "up": up, "limit": limit, "open": server.open}
        if verb in {"get", "put"}:
            prefix = server.logins.get(self.who, {}).get("prefix")
            if prefix is None or not given["key"].startswith(prefix):
                raise PermissionError(f"{self.who} may not {verb} {given['key']}")
            if verb == "put":
                with server.lock:
                    server.values[given["key"]] = given["value"]
                    server.log.append((time.time(), given["key"], given["value"]))
                    server.keep()
            return server.values.get(given["key"])
        if self.who != "admin":
            raise PermissionError(f"{self.who} may not {verb}")
        with server.lock:
            if verb == "dump":
                return {"values": server.values, "log": len(server.log), "now": time.time()}
            if verb == "log":
                return {"entries": server.log[given["since"] :], "now": time.time()}
            if verb == "write":
                server.logins[given.pop("name")] = given
            if verb == "drop":
                del server.logins[given["name"]]
            server.keep()
        return server.logins


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print(f"Toy {VERSION}")
    else:
        server = Server(json.loads(Path(sys.argv[1]).read_text()))
        host, port = server.server_address[:2]
        print(
            f"Toy {VERSION}, {len(server.logins)} logins\nlistening on {host!s}:{port}", flush=True
        )
        print("ready", flush=True)
        server.serve_forever()
