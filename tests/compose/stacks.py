"""`mngdb` in a folder, led to the tests' Docker engine."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Cli
from tests.docker import Engine


@dataclass
class ComposeCli(Cli):
    """Runs `mngdb` and `docker` on a stack called `name`, with the target compose."""

    def __init__(self, folder: Path, docker: Engine, name: str) -> None:
        super().__init__(folder, dict(docker.environ))
        self.docker, self.name = docker, name

    def write(self, text: str) -> None:
        """Write mngdb.yaml; the stack's name and target are added."""
        (self.folder / "mngdb.yaml").write_text(f"name: {self.name}\ntarget: compose\n{text}")

    @property
    def rendered(self) -> Path:
        """The rendered folder."""
        return self.state / "rendered"

    def unit(self, what: str) -> str:
        """The container's name: `pg`, `redis`, `mongo`, …"""
        return f"{self.name}-{what}"

    def secret(self, name: str) -> str:
        """A secret of the vault."""
        return (self.state / "secrets" / name).read_text()

    def compose(self, *words: str) -> str:
        """Run `docker compose` in the rendered folder, as a person would."""
        return self.docker.docker("compose", *words, cwd=self.rendered)

    def exec(self, what: str, *words: str, **more: Any) -> str:
        """Run a command in a unit's container."""
        return self.docker.docker("exec", "-i", self.unit(what), *words, **more)

    def run_in(self, what: str, *words: str) -> None:
        """As `exec`, for what may take the container along."""
        self.docker.run("exec", self.unit(what), "bash", "-c", shlex.join(words))

    def run_json(self, *arguments: str) -> Any:
        """The document of a command that need not succeed."""
        return json.loads(self.run("--json", *arguments).stdout)

    def inspect(self, what: str) -> dict[str, Any]:
        """What Docker says of a unit's container."""
        found: dict[str, Any] = json.loads(self.docker.docker("inspect", self.unit(what)))[0]
        return found

    def health(self, what: str, wanted: str = "healthy", patience: float = 180) -> str:
        """Wait until Docker calls a container healthy (or `wanted`); returns its last words."""
        deadline = time.monotonic() + patience
        while True:
            state = self.inspect(what)["State"]["Health"]
            said = state["Log"][-1]["Output"] if state["Log"] else ""
            if state["Status"] == wanted:
                return str(said)
            assert time.monotonic() < deadline, f"{what} is {state['Status']}: {said}"
            time.sleep(0.5)  # each look is a process

    def restarted(self, what: str, before: int) -> None:
        """Wait until Docker has started a container that died once more than `before`, and calls
        it healthy."""
        deadline = time.monotonic() + 180
        while self.inspect(what)["RestartCount"] == before:
            assert time.monotonic() < deadline, f"{what} did not die"
            time.sleep(0.25)
        self.health(what)
        assert self.inspect(what)["RestartCount"] == before + 1

    def environments(self, what: str) -> str:
        """The name and the environment of every process in a unit's container."""
        script = "cd /proc; for i in [0-9]*; do tr '\\0' '\\n' <$i/environ && cat $i/comm; done"
        return self.exec(what, "bash", "-c", f"({script}) 2>/dev/null; true")

    def steps(self) -> list[dict[str, Any]]:
        """The plan's steps."""
        found: list[dict[str, Any]] = self.json("plan")["steps"]
        return found

    def app(
        self, image: str, script: str, network: str | None = None, ca: Path | None = None
    ) -> tuple[int, str]:
        """Run a script in a container of the app `shop`: with its variables, in a network. Returns
        the exit code and what it said. `ca` stands where the stack's CA certificate would."""
        file, ca = self.folder / "app.env", ca or self.rendered / "ca.crt"
        env = self.env_of("shop")
        file.write_text("".join(f"{name}={value}\n" for name, value in env.items()))
        mount = ("--volume", f"{ca}:/etc/mngdb/ca.crt:ro") if ca.exists() else ()
        done = self.docker.run(
            *("run", "--rm", "--network", network or f"{self.name}-db", "--env-file", str(file)),
            *("--user", "999", *mount, "--entrypoint", "bash", image, "-c", script),
        )
        return done.returncode, done.stdout + done.stderr

    def page(self, unit: str, port: int) -> str:
        """A page of an exporter, as Prometheus gets it."""
        ask = f"exec 3<>/dev/tcp/{self.unit(unit)}/{port}"
        ask += "; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
        return self.app("redis:8.4.6-bookworm", ask, f"{self.name}-metrics")[1]

    def redis(self, *words: str) -> str:
        """Ask Redis as the administrator; the secret goes by the environment."""
        encrypted = "tls: true" in (self.folder / "mngdb.yaml").read_text()
        tls = "--tls --cacert /etc/mngdb/ca.crt" if encrypted else ""
        script = f'redis-cli {tls} --user admin "$@"'
        script = f"REDISCLI_AUTH=$(cat /run/secrets/redis_password) exec {script}"
        return self.exec("redis", "sh", "-c", script, "-", *words).strip()

    def sql(self, query: str, database: str = "postgres", role: str = "postgres") -> str:
        """Ask PostgreSQL over the socket inside, as its owner or with the role of an app: what the
        owner makes in an app's database, `up` hands over to the app."""
        words = ("psql", "-XqAtU", "postgres", "-d", database, "-c", f"SET ROLE {role}")
        return self.exec("pg", *words, "-c", query).strip()
