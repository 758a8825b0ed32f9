"""The containers and volumes of one Compose project, as the engine has them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from mngdb import disk
from mngdb.errors import MngdbError, StepError
from mngdb.run import last_line
from mngdb.targets.compose import document
from mngdb.targets.compose.container_log import ContainerLog
from mngdb.targets.compose.docker import PULL_TIMEOUT, Docker
from mngdb.targets.compose.notes import Notes
from mngdb.targets.compose.ownership import FOLDER, PROJECT, Ownership, labels
from mngdb.targets.compose.ownership import name as name_of
from mngdb.targets.compose.running import Ran, RunningContainer, as_running
from mngdb.targets.compose.services import BUILT, STOP_TIMEOUT
from mngdb.targets.process.log_messages import cause
from mngdb.targets.protocol import Health, UnitRecord

_LOG_LINES = 200
#: proc(5), /proc/net/tcp: the state of a socket that listens; Docker's name server, 127.0.0.11.
_SOCKETS = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null"
_LISTEN, _NAMES = "0A", "0B00007F:"
#: The exit code of `docker run` when nothing ran.
NOT_RUN = 125
#: Seconds that a container without data may take to stop.
_SOON = 10


class Project(Struct, frozen=True):
    """One Compose project. `root` is its folder."""

    docker: Docker
    name: str
    stack: str
    root: Path
    notes: Notes
    owned: Ownership

    # --- looking

    def container(self, name: str) -> dict[str, Any] | None:
        """A container as the engine tells it. Raises MngdbError for one that is not ours."""
        self.owned.recognize()
        found = self.docker.inspect("container", name)
        if found is not None:
            self.owned.require("container", found)
        return found

    def misplaced(self, found: Mapping[str, Any]) -> str:
        """Why a container of ours has to be made anew: it was started as another Compose project,
        or in another folder, whose files it reads. Empty: it was not."""
        told = labels(found)
        folder, project = told.get(FOLDER, ""), told.get(PROJECT)
        if project != self.name:
            return f"it belongs to the Compose project {project}, not {self.name}"
        # Compose names the folder as the shell that it was called from does, by a link perhaps
        if os.path.realpath(folder) != os.path.realpath(self.root):
            return f"its files are in {folder}, not in {self.root}"
        return ""

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
        self.owned.recognize()
        every = self.docker.inspected("container", names, timeout)
        return {name_of(one): one for one in every if self.owned.owns("container", one)}

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
        return as_running(self.docker, name, found)

    def halted(self, name: str) -> bool:
        """Whether a process of a running container was told to stop and wait (proc(5): T)."""
        done = self.docker.look("top", name, "-eo", "pid,stat", check=False)
        rows = [line.split() for line in done.stdout.splitlines()[1:]]
        return any(len(row) == 2 and row[1].startswith("T") for row in rows)

    def titles(self, name: str) -> list[str]:
        """What the processes of a container call themselves; none: it does not run."""
        done = self.docker.look("top", name, "-eo", "pid,args", check=False)
        return [line.strip().partition(" ")[2] for line in done.stdout.splitlines()[1:]]

    def ran_out_of_memory(self, name: str, seconds: int) -> bool:
        """Whether the kernel ended a process of a container for its limit, so lately. The engine
        remembers its last 256 events."""
        window = ("--since", f"{seconds}s", "--until", "0s")
        which = ("--filter", f"container={name}", "--filter", "event=oom")
        return bool(self.docker.look("events", *window, *which, check=False).stdout.strip())

    def volume(self, unit: str) -> dict[str, Any] | None:
        """Whatever volume has the name of a unit's; None: there is none."""
        self.owned.recognize()
        return self.docker.inspect("volume", f"{unit}-data")

    def units(self) -> list[UnitRecord]:
        """Every unit that has a volume or a container."""
        every = [*self.owned.listed("volume"), *self.owned.listed("container")]
        found = [unit for unit in map(self.owned.unit, every) if unit is not None]
        names = ((one.unit, one.instance, one.engine) for one in found)
        return [UnitRecord(*one) for one in dict.fromkeys(names)]

    def services(self) -> set[str]:
        """The names of every container of the stack."""
        return {name_of(one) for one in self.owned.listed("container")}

    def networks(self, but: Collection[str]) -> list[str]:
        """The stack's networks `but` those of these names, as far as no container of somebody else
        is in them."""
        left = [one for one in self.owned.listed("network") if one["Name"] not in but]
        own = self.services() if left else set()
        return [
            one["Name"]
            for one in left
            if {each["Name"] for each in one["Containers"].values()} <= own
        ]

    def forsake(self, network: str) -> None:
        """Remove a network that no container is in any more."""
        self.docker.ask("network", "rm", network)

    def log(self, unit: str) -> ContainerLog:
        """What a container says."""
        return ContainerLog(self.docker, unit, self._says)

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
            raise MngdbError(f"{unit} has no container and no log", "'mngdb up' creates it")

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
                f"the image {image} cannot be pulled: {said}",
                "load it into the engine ('docker load'), or set another: "
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
            raise StepError(f"{name} was removed during startup", hint)
        state = found["State"]
        if state["Running"] and not state["Restarting"] and found["RestartCount"] <= ran.restarts:
            return
        said = cause("\n".join(self.log(name).last(_LOG_LINES)))
        if state.get("OOMKilled"):
            said = f"it exceeded its memory limit; {said}"
        # what cannot start is not tried for ever
        self.docker.ask("stop", "--time", str(STOP_TIMEOUT), name, timeout=STOP_TIMEOUT + 30)
        raise StepError(
            f"{name} exited during startup (exit code {state['ExitCode']}): {said}", hint
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
        """Remove the stack's containers and networks, also where no file describes them any more.
        A network that somebody else's container is in stays."""
        names = sorted(self.services())
        if names:
            grace = ("--time", str(STOP_TIMEOUT))
            self.docker.ask("stop", *grace, *names, timeout=STOP_TIMEOUT + 60)
            self.docker.ask("rm", "--force", *names, timeout=STOP_TIMEOUT)
        for network in self.networks(()):
            self.forsake(network)

    def remove(self) -> None:
        """Remove the stack's containers, networks, volumes and images."""
        self.down()
        for one in self.docker.listed("image", f"{BUILT}={self.stack}"):
            used = ("ps", "--all", "--quiet", "--filter", f"ancestor={one['Id']}")
            if not self.docker.look(*used).stdout.strip():
                self.docker.ask("image", "rm", one["Id"])
        for one in self.owned.listed("volume"):
            self.docker.ask("volume", "rm", one["Name"])

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
        where = ("--project-name", self.name, "--project-directory", str(self.root))
        file = ("--file", str(self.root / "docker-compose.yml"))
        self.docker.ask("compose", *where, *file, *words, timeout=timeout)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two Composes at a time would make a network twice."""
        with disk.alone(self.notes.lock):
            yield

    def read_since(self, name: str, files: Sequence[Path]) -> bool:
        """Whether a running container started after files were written."""
        found = self.running(name)
        return found is not None and all(
            file.exists() and file.stat().st_mtime < found.started.timestamp() for file in files
        )

    @staticmethod
    def definition(found: Mapping[str, Any]) -> str | None:
        """The digest of what a container was made from."""
        return labels(found).get("mngdb.definition")
