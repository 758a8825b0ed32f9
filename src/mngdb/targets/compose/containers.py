"""The containers and volumes of one Compose project, as the engine has them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mngdb import disk
from mngdb.errors import MngdbError, StepError
from mngdb.host import Note
from mngdb.run import last_line
from mngdb.spec.compose import Compose
from mngdb.targets.compose import document
from mngdb.targets.compose.docker import PULL_TIMEOUT, Docker
from mngdb.targets.compose.services import BUILT, STOP_TIMEOUT
from mngdb.targets.local.logs import cause

#: Both versions of control groups; what a server has in memory, without the files' pages.
_MEMORY = "cat /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat 2>/dev/null"
_COUNTED = {"anon", "shmem", "total_rss", "total_shmem"}
_LOG_LINES = 200
#: proc(5), /proc/net/tcp: the state of a socket that listens; Docker's name server, 127.0.0.11.
_SOCKETS = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null"
_LISTEN, _NAMES = "0A", "0B00007F:"
#: Compose's labels of what it made.
_PROJECT = "com.docker.compose.project"
_FOLDER = f"{_PROJECT}.working_dir"
#: The exit code of `docker run` when nothing ran.
NOT_RUN = 125
#: Seconds that a container without data may take to stop.
_SOON = 10


@dataclass(frozen=True)
class RunningContainer:
    """A container that runs."""

    docker: Docker
    name: str
    started: datetime
    verdict: str = ""
    """Docker's own, by its health check: starting, healthy, unhealthy."""
    said: str = ""
    """What the check said last."""

    def memory(self) -> int | None:
        """Bytes of processes and shared memory; None where the container does not say."""
        done = self.docker.look("exec", self.name, "sh", "-c", _MEMORY, check=False)
        words = [line.split() for line in done.stdout.splitlines()]
        sizes = [int(two[1]) for two in words if len(two) == 2 and two[0] in _COUNTED]
        return sum(sizes) if sizes else None

    def uptime(self) -> float:
        """Seconds since it started, by this machine's clock."""
        return max(0.0, (datetime.now(UTC) - self.started).total_seconds())


def left(state: Path) -> Compose | None:
    """Where an earlier command has put the project; None: there was none. Raises MngdbError."""
    path = state / "compose" / "project.json"
    try:
        text = disk.read_own(path)
        return None if text is None else Compose.model_validate_json(text)
    except ValueError:
        raise MngdbError(f"{path} is damaged", "write 'target: compose' into the file") from None


@dataclass(frozen=True)
class Health:
    """A container at a glance."""

    up: bool
    """Whether its process runs: it is not paused, and does not end again and again."""
    restarts: int
    """How often the engine has started it again since it was made."""


@dataclass(frozen=True)
class Ran:
    """A container that we started: how often the engine had started it again by then."""

    restarts: int


def _started(found: Mapping[str, Any]) -> datetime:
    # nine digits after the point are too many for Python
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", found["State"]["StartedAt"]))


@dataclass(frozen=True)
class Project:
    """One Compose project. `root` is its folder, `state` mngdb's own beside the stack's file."""

    docker: Docker
    name: str
    stack: str
    root: Path
    state: Path

    # --- looking

    def container(self, name: str) -> dict[str, Any] | None:
        """A container as the engine tells it. Raises MngdbError for one that is not ours."""
        found = self.docker.inspect("container", name)
        if found is not None:
            self._own(name, found)
        return found

    def _own(self, name: str, found: Mapping[str, Any]) -> None:
        labels = found["Config"]["Labels"] or {}
        folder, project = labels.get(_FOLDER), labels.get(_PROJECT)
        # Compose names the folder as the shell that it was called from does, by a link perhaps
        here = folder is not None and os.path.realpath(folder) == str(self.root)
        if here and project == self.name:
            return
        before = left(self.state)
        if before is not None and (before.project, before.folder) == (project, folder):
            raise MngdbError(
                f"{name} was started as the project {project} in {folder}; the file says "
                f"{self.name} in {self.root} now",
                "write it as it was, 'mngdb down', then write it anew: volumes stay",
            )
        if here:
            down = f"docker compose --project-name {project} down"
            raise MngdbError(
                f"{name} was started as the Compose project {project}, not {self.name}",
                f"cd {shlex.quote(str(self.root))} && {down}: volumes stay, 'mngdb up' goes on",
            )
        whose = f"the Compose project {project} in {folder}" if folder else "somebody else"
        raise MngdbError(
            f"the name {name} is taken by a container of {whose}",
            # RedisInsight is called so in every stack
            "give the stack another name, or remove that container"
            if name.startswith(f"{self.stack}-")
            else f"an engine has one {name}: leave it out of this file, or remove that container",
        )

    def ours(
        self, containers: Sequence[str], networks: Sequence[str], volumes: Sequence[str]
    ) -> None:
        """Raise MngdbError when one of these names is somebody else's. A volume that no Compose
        made is ours: it was brought here."""
        for one in self._found("container", containers):
            self._own(one["Name"].removeprefix("/"), one)
        for kind, names in (("network", networks), ("volume", volumes)):
            for one in self._found(kind, names):
                labels = one["Labels"] or {}
                project = labels.get(_PROJECT, "" if kind == "network" else self.name)
                if project != self.name and labels.get("mngdb.stack") != self.stack:
                    raise MngdbError(
                        f"the name {one['Name']} is taken by a {kind} of "
                        + (f"the Compose project {project}" if project else "somebody else"),
                        f"give the stack another name, or remove that {kind}",
                    )

    def known(self, rendered: float | None, allow: frozenset[str]) -> None:
        """Raise MngdbError when there is data of a stack of this name that another clone made, and
        wants back. Ours is what `up` was run for from here, what containers of this folder have,
        and what Compose made after the folder was `rendered` (seconds since the epoch). `allow` are
        units whose data is taken over."""
        if left(self.state) is not None:
            return
        for one in self.docker.listed("container", f"{_PROJECT}={self.name}"):
            if os.path.realpath(one["Config"]["Labels"].get(_FOLDER, "")) == str(self.root):
                return
        # to the second: Docker tells no more of volumes
        before = None if rendered is None else datetime.fromtimestamp(int(rendered), UTC)
        strange = sorted({note.unit for note in self.units(before)} - allow)
        if not strange:
            return
        named = " ".join(f"--allow {unit}" for unit in strange)
        volumes = ", ".join(f"{unit}-data" for unit in strange)
        raise MngdbError(
            f"a stack {self.stack} that was made elsewhere has left its data here: {volumes}",
            f"give this one another 'name'; 'mngdb up {named}' takes the data over",
        )

    def health(self, names: Sequence[str], timeout: float) -> dict[str, Health]:
        """How containers do; one that is not there is down. Raises MngdbError when the engine does
        not answer within `timeout` seconds."""
        found = dict.fromkeys(names, Health(up=False, restarts=0))
        for name, one in self.inspected(names, timeout).items():
            state = one["State"]
            up = state["Running"] and not state["Restarting"] and not state["Paused"]
            found[name] = Health(up, one["RestartCount"])
        return found

    def starting(self, names: Sequence[str]) -> list[str]:
        """Those that run and have a health check that has not passed yet."""
        states = {name: one["State"] for name, one in self.inspected(names).items()}
        return [
            name
            for name, state in states.items()
            if state["Running"] and (state.get("Health") or {}).get("Status") == "starting"
        ]

    def inspected(
        self, names: Sequence[str], timeout: float | None = None
    ) -> dict[str, dict[str, Any]]:
        """Containers of ours as the engine tells them, by name. Raises MngdbError when it does not
        answer within `timeout` seconds (None: some)."""
        return {
            one["Name"].removeprefix("/"): one
            for one in self._found("container", names, timeout)
            if (one["Config"]["Labels"] or {}).get(_PROJECT) == self.name
        }

    def _found(
        self, kind: str, names: Sequence[str], timeout: float | None = None
    ) -> list[dict[str, Any]]:
        if not names:
            return []
        words = ("inspect", "--type", kind, *names)
        # those that are not there are told on the other channel
        said = self.docker.look(*words, check=False, timeout=timeout).stdout or "[]"
        found: list[dict[str, Any]] = json.loads(said)
        return found

    def data_root(self) -> Path | None:
        """The engine's own folder, where it is one of this machine."""
        asked = ("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        where = self.docker.look(*asked).stdout
        said = self.docker.look("info", "--format", "{{.DockerRootDir}}").stdout.strip()
        path = Path(said)
        return path if said and where.startswith("unix://") and path.is_dir() else None

    def running(self, name: str) -> RunningContainer | None:
        """A container, if it runs and does not end again and again."""
        return self.as_running(name, self.container(name))

    def as_running(self, name: str, found: Mapping[str, Any] | None) -> RunningContainer | None:
        """The same of what `container` found."""
        if found is None or not found["State"]["Running"] or found["State"]["Restarting"]:
            return None
        health = found["State"].get("Health") or {}
        log = health.get("Log") or []
        said = last_line(log[-1]["Output"]) if log else ""
        return RunningContainer(self.docker, name, _started(found), health.get("Status", ""), said)

    def halted(self, name: str) -> bool:
        """Whether a process of a running container was told to stop and wait (proc(5): T)."""
        done = self.docker.look("top", name, "-eo", "pid,stat", check=False)
        rows = [line.split() for line in done.stdout.splitlines()[1:]]
        return any(len(row) == 2 and row[1].startswith("T") for row in rows)

    def ran_out_of_memory(self, name: str, seconds: int) -> bool:
        """Whether the kernel ended a process of a container for its limit, so lately. The engine
        remembers its last 256 events."""
        window = ("--since", f"{seconds}s", "--until", "0s")
        which = ("--filter", f"container={name}", "--filter", "event=oom")
        return bool(self.docker.look("events", *window, *which, check=False).stdout.strip())

    def volume(self, unit: str) -> bool:
        """Whether a unit's volume is there."""
        return self.docker.inspect("volume", f"{unit}-data") is not None

    def units(self, before: datetime | None = None) -> list[Note]:
        """Every unit whose volume is there, and was made `before` then."""
        found = []
        for one in self.docker.listed("volume", f"mngdb.stack={self.stack}"):
            labels = one["Labels"]
            later = before is not None and datetime.fromisoformat(one["CreatedAt"]) >= before
            if labels.get(_PROJECT) == self.name and "mngdb.unit" in labels and not later:
                names = (labels[f"mngdb.{key}"] for key in ("unit", "instance", "engine"))
                found.append(Note(*names))
        return found

    def services(self) -> set[str]:
        """The names of every container of the project."""
        found = self.docker.listed("container", f"{_PROJECT}={self.name}")
        return {one["Name"].removeprefix("/") for one in found}

    def networks(self, but: Collection[str]) -> list[str]:
        """The project's networks `but` those of these names, as far as no container of somebody
        else is in them."""
        label = f"label={_PROJECT}={self.name}"
        asked = ("network", "ls", "--filter", label, "--format", "{{.Name}}")
        left = [name for name in self.docker.look(*asked).stdout.split() if name not in but]
        own = self.services() if left else set()
        return [
            one["Name"]
            for one in self._found("network", left)
            if {each["Name"] for each in one["Containers"].values()} <= own
        ]

    def forsake(self, network: str) -> None:
        """Remove a network that no container is in any more."""
        self.docker.ask("network", "rm", network)

    def log(self, unit: str, count: int) -> list[str]:
        """The last lines that a container said. Raises MngdbError when there is none: what it said
        went with it."""
        self._says(unit)
        if count == 0:
            return []
        done = self.docker.look("logs", "--tail", str(count), unit)
        return [*done.stdout.splitlines(), *done.stderr.splitlines()][-count:]

    def said_since(self, unit: str, start: datetime) -> list[str]:
        """The last lines that a container said since then."""
        words = ("logs", "--since", start.isoformat(), "--tail", str(_LOG_LINES), unit)
        done = self.docker.look(*words, check=False)
        return [*done.stdout.splitlines(), *done.stderr.splitlines()]

    def listens(self, unit: str) -> bool:
        """Whether anything but Docker's own name server listens in a container's network."""
        done = self.docker.look("exec", unit, "sh", "-c", _SOCKETS, check=False)
        rows = [line.split() for line in done.stdout.splitlines()]
        return any(
            len(row) > 3 and row[3] == _LISTEN and not row[1].startswith(_NAMES) for row in rows
        )

    def _says(self, unit: str) -> None:
        if self.container(unit) is None:
            raise MngdbError(f"{unit} has no container, and so no log", "'mngdb up' makes it")

    def follow(self, unit: str, count: int) -> Iterator[str]:
        """The last lines that a container said, and others as they come. Raises as `log`."""
        self._says(unit)
        with subprocess.Popen(
            ["docker", "logs", "--follow", "--tail", str(count), unit],  # noqa: S607 - as `ask`
            env=self.docker.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101 - asked for
                for line in process.stdout:
                    yield line.rstrip("\n")
            finally:
                process.terminate()

    def has(self, image: str) -> bool:
        """Whether the engine has got an image."""
        return self.docker.inspect("image", image) is not None

    # --- changing

    def fetch(self, image: str) -> None:
        """Fetch an image that is not there. Raises StepError with its name and the reason."""
        if self.has(image):
            return
        done = self.docker.ask("pull", "--quiet", image, check=False, timeout=PULL_TIMEOUT)
        if done.returncode != 0:
            said = last_line(done.stderr).removeprefix("Error response from daemon: ")
            raise StepError(
                f"the image {image} cannot be fetched: {said}",
                "bring it to the engine ('docker load'), or name another: "
                "target: {compose: {images: …}}",
            )

    def up(self, service: str) -> Ran:
        """Start a service, its container made anew where it is not as described."""
        with self._alone():
            self._compose(
                *("up", "--detach", "--no-deps", "--quiet-pull"),
                *("--timeout", str(STOP_TIMEOUT), service),
                timeout=PULL_TIMEOUT,
            )
        found = self.container(service)
        return Ran(found["RestartCount"] if found else 0)

    def describe(self, service: str, before: str) -> None:
        """Let docker-compose.yml say of a service what it said `before`, a text of it. Others are
        left as they are."""
        with self._alone():
            path = self.root / "docker-compose.yml"
            text = document.returned(disk.read_own(path, owners=None) or "", before, service)
            disk.write(path, text, mode=0o644, durable=False)

    def restart(self, service: str) -> None:
        """Start a service that holds no data again, so that it reads its files."""
        self._compose("restart", "--no-deps", "--timeout", str(_SOON), service)

    def check(self, name: str, ran: Ran, hint: str) -> None:
        """Raise StepError with the log's last words if a container that we started has ended."""
        found = self.container(name)
        if found is None:
            raise StepError(f"{name} was removed while it started", hint)
        state = found["State"]
        if state["Running"] and not state["Restarting"] and found["RestartCount"] <= ran.restarts:
            return
        said = cause("\n".join(self.log(name, _LOG_LINES)))
        if state.get("OOMKilled"):
            said = f"it took more than its memory limit; {said}"
        # what cannot start is not tried for ever
        self.docker.ask("stop", "--time", str(STOP_TIMEOUT), name, timeout=STOP_TIMEOUT + 30)
        raise StepError(
            f"{name} ended while it started (exit code {state['ExitCode']}): {said}", hint
        )

    def stop(self, name: str) -> bool:
        """Stop a container. False if it did not run."""
        found = self.container(name)
        if found is None or not (found["State"]["Running"] or found["State"]["Restarting"]):
            return False
        if self.halted(name):  # a halted process takes no other signal
            self.docker.ask("exec", name, "sh", "-c", "kill -CONT -1", check=False)
        self.docker.ask("stop", "--time", str(STOP_TIMEOUT), name, timeout=STOP_TIMEOUT + 30)
        return True

    def discard(self, name: str) -> None:
        """Remove a container that holds no data."""
        self.docker.ask("rm", "--force", name)

    def down(self) -> None:
        """Remove the project's containers and networks."""
        self._compose("down", "--remove-orphans", "--timeout", str(STOP_TIMEOUT))

    def remove(self) -> None:
        """Remove the project's containers, networks, volumes and images."""
        self.down()
        for one in self.docker.listed("image", f"{BUILT}={self.stack}"):
            self.docker.ask("image", "rm", one["Id"])
        # units' volumes have the project's name of the time when they were made
        labels = (f"{_PROJECT}={self.name}", f"mngdb.stack={self.stack}")
        volumes = {one["Name"] for label in labels for one in self.docker.listed("volume", label)}
        for name in sorted(volumes):
            self.docker.ask("volume", "rm", name)

    def once(
        self, image: str, user: int, argv: Sequence[str], options: Sequence[str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of an image, in a container that is gone afterwards. An image that has to
        be fetched first is not: the exit code is NOT_RUN then."""
        safe = ("--network", "none", "--read-only", "--cap-drop", "ALL", "--user", f"{user}:{user}")
        return self.docker.ask(
            *("run", "--rm", "--pull", "never", *safe, *options, "--entrypoint", argv[0], image),
            *argv[1:],
            check=False,
            timeout=PULL_TIMEOUT,
        )

    def inside(self, name: str, argv: Sequence[str], text: str) -> None:
        """Run a command in a container with an input. Raises StepError with its last words."""
        done = self.docker.ask("exec", "--interactive", name, *argv, stdin=text, check=False)
        if done.returncode != 0:
            raise StepError(f"{name}: {argv[0]}: {last_line(done.stderr or done.stdout)}")

    def _compose(self, *words: str, timeout: float = STOP_TIMEOUT + 60.0) -> None:
        file = self.root / "docker-compose.yml"
        named = ("--file", str(file)) if file.exists() else ()
        where = ("--project-name", self.name, "--project-directory", str(self.root))
        self.docker.ask("compose", *where, *named, *words, timeout=timeout)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two Composes at a time would make a network twice."""
        with disk.alone(disk.folder(self.state / "compose") / "lock"):
            yield

    # --- what an earlier command left here

    @property
    def place(self) -> Compose:
        """Where the project is, as `left` tells it later."""
        return Compose(folder=str(self.root), project=self.name, docker_host=self.docker.host)

    def settled(self, units: Sequence[str]) -> None:
        """Raise MngdbError when the file says another place than the one that units run in."""
        if left(self.state) not in (None, self.place):
            for unit in units:
                self.container(unit)

    def remember(self) -> None:
        """Keep where the stack's project is, also when its file no longer says so."""
        note = self.place.model_dump_json(include={"folder", "project", "docker_host"})
        path = disk.folder(self.state / "compose") / "project.json"
        if disk.read_own(path) != note:
            disk.write(path, note)

    def applied(self, name: str) -> str | None:
        """The digest of what a container is known to have read."""
        return disk.read_own(self.state / "compose" / f"{name}.applied")

    def noted(self, name: str) -> float | None:
        """When `apply` was called last, in seconds since the epoch."""
        try:
            return (self.state / "compose" / f"{name}.applied").stat().st_mtime
        except FileNotFoundError:
            return None

    def apply(self, name: str, digest: str) -> None:
        """Note what a container has read."""
        path = disk.folder(self.state / "compose") / f"{name}.applied"
        disk.write(path, digest, durable=False)

    def forget(self, name: str) -> None:
        """A container that is starting has not read anything yet."""
        (self.state / "compose" / f"{name}.applied").unlink(missing_ok=True)

    def read_since(self, name: str, files: Sequence[Path]) -> bool:
        """Whether a running container started after files were written."""
        found = self.running(name)
        return found is not None and all(
            file.exists() and file.stat().st_mtime < found.started.timestamp() for file in files
        )

    @staticmethod
    def definition(found: Mapping[str, Any]) -> str | None:
        """The digest of what a container was made from."""
        label: str | None = (found["Config"]["Labels"] or {}).get("mngdb.definition")
        return label
