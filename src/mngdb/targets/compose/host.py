"""A Docker engine as a place for units: containers of a Compose project, kept in a folder."""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from mngdb import disk
from mngdb.container import CONF
from mngdb.errors import ConnectError, UsageError
from mngdb.facts.doctor import Condition, Service
from mngdb.host import Note, State
from mngdb.identity import holdings
from mngdb.model import (
    Asked,
    Engine,
    File,
    Program,
    Proof,
    Remark,
    ShellCommand,
    Site,
    Step,
    Unit,
    socket_file,
)
from mngdb.release import Release
from mngdb.secret import Secret
from mngdb.spec.base import EngineName
from mngdb.spec.compose import Compose
from mngdb.spec.stack import Instance, Stack
from mngdb.spec.units import format_size, parse_size
from mngdb.targets.compose import certificates, page_certificate, services, volume, web
from mngdb.targets.compose.beside import Beside
from mngdb.targets.compose.containers import NOT_RUN, Project, Ran, RunningContainer, left
from mngdb.targets.compose.docker import Docker, secrets_of
from mngdb.targets.compose.folder import Folder
from mngdb.targets.compose.part import Part
from mngdb.targets.compose.rendering import Rendering, render
from mngdb.targets.compose.tunnel import Tunnel
from mngdb.targets.local import machine
from mngdb.targets.local.logs import cause, stopped_in_order
from mngdb.targets.local.verify import judge

#: Seconds after its start in which a container that had died may do so again.
_FRESH = 60.0
#: Seconds in which it is told that a container ran out of memory.
_LATELY = 600


@dataclass
class ComposeHost:
    """The target `compose` for one stack."""

    stack: Stack
    spec: Compose
    engine: Callable[[EngineName], Engine]
    project: Project
    folder: Folder
    page_secret: Callable[[str], Secret]
    """The vault's name of a page's secret to it."""
    token: str = field(default_factory=lambda: secrets.token_hex(6))
    wanted: Rendering | None = None
    described: str = ""
    """docker-compose.yml as an earlier command left it."""
    _tunnels: dict[str, tuple[Tunnel, int]] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(
        cls,
        stack: Stack,
        engine: Callable[[EngineName], Engine],
        environ: Mapping[str, str],
        page_secret: Callable[[str], Secret],
    ) -> ComposeHost:
        """The Docker engine of a stack. Nothing is asked yet."""
        # an instance that moved elsewhere left its container where the file said before
        spec = stack.source.target.compose or left(stack.state) or Compose()
        root = (stack.folder / disk.expanded(spec.folder)).resolve()
        docker = Docker(spec.docker_host, environ)
        project = Project(docker, spec.project or stack.name, stack.name, root, stack.state)
        return cls(stack, spec, engine, project, Folder(root), page_secret)

    # --- what is wanted

    def image(self, instance: Instance) -> str:
        """The image of an instance."""
        place = self.engine(instance.engine).place
        return services.image(self.spec, instance.engine, place, instance.spec.version)

    def site(self, instance: Instance, *, find: bool = True) -> Site:
        """The instance's place, as its container sees it. No engine is asked."""
        place, source = self.engine(instance.engine).place, self.image(instance)
        tag = re.search(r":v?(\d+(?:\.\d+)*)", source)
        version = tag[1] if tag else instance.spec.version
        if version is None:
            raise UsageError(
                f"{instance.name}: the image {source} does not say its version",
                f"write it: {instance.name}: {{version: …}}",
            )
        return Site(
            data=place.data,
            conf=CONF,
            run=place.run,
            log="",
            memory=machine.memory(),
            program=Program(place.server, "", version, self._product(instance), source),
            owners=("postgres",),
            tls=certificates.SEEN if instance.tls else None,
            ca=str(certificates.ca(self.stack)) if instance.tls else "",
            host=instance.unit,
            listen=("0.0.0.0",),  # noqa: S104 - of the container's own networks
            tunnel=str(self._way(instance.unit)),
            proof=Proof(instance.unit),
        )

    def _product(self, instance: Instance) -> str:
        return self.engine(instance.engine).title

    def fit(self, unit: Unit, asked: Asked) -> Unit:
        """The unit with the files that its container reads beside the server's."""
        container = self.engine(unit.engine).container(asked, unit)
        more = {"health.sh": container.health, **container.files}
        if asked.instance.tls:
            more[certificates.CA] = certificates.authority(self.stack)
        return replace(
            unit, files=(*unit.files, *(File(name, text) for name, text in more.items()))
        )

    def expect(self, asked: Mapping[str, Asked]) -> None:
        """Take note of all that shall live here."""
        self.described = self.folder.read(self.folder.root / "docker-compose.yml") or ""
        more = [*web.part(self.stack, asked, self.engine, self.page_secret)]
        if certificates.wanted(self.stack):
            more.append(Part(files={certificates.CA: certificates.authority(self.stack)}))
        self.wanted = render(self.stack, self.spec, asked, self.engine, self.image, self.fit, more)

    def free(self, allow: frozenset[str]) -> None:
        """Raise MngdbError where a container, a network or a volume of the name is not ours:
        Compose would use them as they are."""
        if self.wanted is not None:
            whole = self.wanted.whole
            self.project.ours(
                containers=[*whole.services],
                networks=[network["name"] for network in whole.networks.values()],
                # a unit's knows its stack
                volumes=[one["name"] for one in whole.volumes.values() if "labels" in one],
            )
        self.project.known(self.folder.since(), allow)

    def page_certificate(self) -> Path | None:
        """Where the certificate of the stack's page is, or will be; None: it has no page."""
        return page_certificate.path(self.stack)

    def certificate(self, instance: Instance) -> Path:
        """Where the certificate of an instance that encrypts is, when it was made."""
        return certificates.bundle(self.folder, instance)

    # --- reaching

    def _way(self, unit: str) -> Path:
        return Path(tempfile.gettempdir()) / f"mngdb-{self.token}-{unit}"

    @contextmanager
    def reach(self, instance: Instance) -> Iterator[None]:
        """Connections to the socket become `docker exec`s into the container. A login that fails
        because no engine answers raises UnreachableError."""
        unit = instance.unit
        with self._guard:
            tunnel, users = self._tunnels.get(unit, (None, 0))
            if tunnel is None:
                name = socket_file(instance.engine, instance.spec.port)
                path = self._way(unit) / name
                tunnel = Tunnel(self.project.docker, unit, instance.spec.port, path, instance.tls)
                tunnel.open()
            self._tunnels[unit] = (tunnel, users + 1)
        try:
            yield
        except ConnectError:
            self.project.docker.need_engine()
            raise
        finally:
            with self._guard:
                tunnel, users = self._tunnels.pop(unit)
                if users > 1:
                    self._tunnels[unit] = (tunnel, users - 1)
                else:
                    tunnel.close()

    def enter(self, unit: str, command: ShellCommand, *, terminal: bool) -> list[str]:
        """The command line of the interactive client inside the container."""
        program, arguments = command.programs[0]
        flags = ["--interactive", *(["--tty"] if terminal else [])]
        names = secrets_of(list(command.env))
        return ["docker", "exec", *flags, *names, unit, Path(program).name, *arguments]

    # --- what there is

    def process(self, unit: str) -> RunningContainer | None:
        """The unit's container, if it runs."""
        return self.project.running(unit)

    def condition(self, instance: Instance) -> Condition:
        """The unit's container, before anybody asks its server. Raises MngdbError."""
        found = self.project.container(instance.unit)
        state = found["State"] if found else {}
        running = self.project.as_running(instance.unit, found)
        if found is None or running is None:
            lines = self.log_lines(instance.unit, 50) if found else []
            return Condition(
                "restarting" if state.get("Restarting") else self._left(instance.unit),
                out_of_memory=bool(state.get("OOMKilled")),
                in_order=stopped_in_order(lines) or found is None,
                said=cause("\n".join(lines)),
            )
        wake = f"docker unpause {instance.unit}" if state["Paused"] else ""
        if not wake and self.project.halted(instance.unit):
            wake = f"docker kill --signal CONT {instance.unit}"
        if self.project.ran_out_of_memory(instance.unit, _LATELY):
            return Condition("running", frozen=wake, out_of_memory=True)
        if not found["RestartCount"] or running.uptime() > _FRESH:
            return Condition("running", frozen=wake)
        said = cause("\n".join(self.log_lines(instance.unit, 50)))
        return Condition("running", frozen=wake, restarted=True, said=said)

    def answered(self, unit: str) -> bool:
        """Whether its files were confirmed since its container was started, by whomever."""
        found = self.project.container(unit)
        running = self.project.as_running(unit, found)
        if found is None or running is None:
            return True
        if (found["State"].get("Health") or {}).get("Status") == "healthy":
            return True
        noted = self.project.noted(unit)
        return noted is not None and noted > running.started.timestamp()

    def listens(self, unit: str) -> bool:
        """Whether a process in its container takes TCP connections."""
        return self.project.listens(unit)

    def told(self, unit: str) -> list[str]:
        """The last lines since its container was started."""
        running = self.project.running(unit)
        return [] if running is None else self.project.said_since(unit, running.started)

    def memory_limit(self, unit: str) -> int:
        """Bytes that the unit's container may take: its own limit, or all that there is."""
        found = self.project.container(unit)
        limit = int(found["HostConfig"]["Memory"]) if found else 0
        return limit or machine.memory()

    def state(self, unit: str) -> State:
        """What there is of a unit."""
        return "running" if self.project.running(unit) is not None else self._left(unit)

    def _left(self, unit: str) -> Literal["stopped", "missing", "absent"]:
        """What there is of a unit that does not run."""
        if self.project.volume(unit):
            return "stopped"
        return "missing" if holdings.read(self.stack.state, unit) else "absent"

    def missing(self, unit: str) -> str:
        """What is missing of the data that was there, for people; empty: nothing is."""
        found = holdings.read(self.stack.state, unit)
        if found is None or self.project.volume(unit):
            return ""
        return found.told(f"the volume {unit}-data does not exist")

    def forget(self, unit: str) -> None:
        """Data that is missing is not waited for any longer."""
        holdings.forget(self.stack.state, unit)

    def seen(self, unit: Unit) -> None:
        """Note that the unit runs, and so has its volume."""
        holdings.seen(self.stack.state, unit.name)

    def units(self) -> list[Note]:
        """Every unit whose volume is there."""
        self.project.settled([one.unit for one in self.stack.instances.values()])
        return self.project.units()

    def place(self, unit: str) -> str:
        """The volume."""
        return f"the volume {unit}-data"

    def remarks(self) -> list[Remark]:
        """Where Compose finds its files."""
        where = self.folder.root
        found = [
            Remark(
                "",
                f"the containers are described in {where}",
                f"cd {shlex.quote(str(where))} && docker compose ps",
            )
        ]
        page = self.stack.source.redisinsight
        if self.stack.insight and page is not None:
            found.append(Remark("", f"RedisInsight is at {page.url}, for people of the realm"))
        return found

    def handover(self, unit: Unit) -> str:
        """Whose the files are follows from the image."""
        return ""

    def stale_files(self, unit: Unit) -> list[str]:
        """The unit's files that the server is not known to have read as they should be."""
        conf = self.folder.conf(unit.name)
        user = self.engine(unit.engine).place.user
        files = {file.name: file.content for file in unit.files}
        differing = [*self.folder.differing(conf, files, user).values()]
        if differing or self.project.applied(unit.name) == _digest(unit):
            return differing
        # `docker compose up` and `restart` tell us nothing, but when they were
        if self.project.read_since(unit.name, [conf / file.name for file in unit.files]):
            return []
        return [file.name for file in unit.files]

    def renewal(self, unit: Unit, instance: Instance, running: Release | None = None) -> list[str]:
        """What its container is made of, where that is not as asked for; its certificate."""
        found = self.project.container(unit.name)
        if self.wanted is None or found is None:
            return []
        said = []
        if self.project.definition(found) != services.definition(
            self.wanted.whole.services[unit.name]
        ):
            differences = self.wanted.differences(self.described, unit.name)
            said.append(f"its container is made anew: {differences}")
        limit = found["HostConfig"]["Memory"]
        wanted = parse_size(self.wanted.whole.services[unit.name]["mem_limit"])
        if limit != wanted:
            said.append(f"its memory limit is {format_size(limit)}, not {format_size(wanted)}")
        noted, conf = self.project.applied(f"{unit.name}.conf"), self.folder.conf(unit.name)
        moved = noted is not None and noted != _identity(conf)
        files = [conf / file.name for file in unit.files]
        if moved and not self.project.read_since(unit.name, files):
            # it still sees the one that is gone
            said.append("the folder that it reads was removed")
        if certificates.due(self.stack, self.folder, instance):
            said.append("a new certificate")
        elif instance.tls and not self.project.read_since(
            unit.name, [certificates.bundle(self.folder, instance)]
        ):
            said.append("its certificate is newer than its start")
        return said

    def preflight(self, unit: Unit, instance: Instance) -> None:
        """What would keep a unit from starting. Raises MngdbError."""
        self.folder.claim(self.stack.name)
        self.project.docker.need_compose()
        self.project.container(unit.name)  # raises for one that is not ours
        self.verify(unit)
        self.fits(unit, instance)

    def fits(self, unit: Unit, instance: Instance, running: Release | None = None) -> None:
        """Whether the image's server can read the data in the volume. Raises MngdbError."""
        place, image = self.engine(instance.engine).place, self.image(instance)
        volume.fits(self.project, place, image, unit, running, self.site(instance).program.release)

    def saw(self, unit: Unit, running: Release) -> None:
        """Note which server was on the unit's volume, and its image."""
        volume.saw(self.project, unit, running)

    def verify(self, unit: Unit) -> None:
        """Ask the image's own program whether it takes the files. Raises UsageError."""
        if not unit.verify or not self.stale_files(unit):
            return
        instance = self.stack.instances[unit.instance]
        user = self.engine(unit.engine).place.user
        with tempfile.TemporaryDirectory(prefix="mngdb-") as folder:
            self.folder.mounted(Path(folder), {f.name: f.content for f in unit.files}, user)
            argv = [word.replace("{conf}", "/verify") for word in unit.verify]
            mount = ("--volume", f"{folder}:/verify:ro")
            done = self.project.once(self.image(instance), user, argv, mount)
        if done.returncode != NOT_RUN:
            judge(unit, done)

    # --- changes

    def begin(self) -> None:
        """Make the folder. Raises UsageError for one that is somebody else's."""
        self.folder.claim(self.stack.name)
        self.project.settled([one.unit for one in self.stack.instances.values()])
        self.folder.prepare()
        self.project.remember()

    def publish(self, asked: Mapping[str, Asked]) -> None:
        """Write what describes the stack, and the secrets. Raises OSError."""
        page_certificate.ensure(self.stack)
        if certificates.wanted(self.stack):
            certificates.ensure(self.stack)
        self.expect(asked)
        assert self.wanted is not None  # noqa: S101 - just made
        for name, unit in self.wanted.units.items():
            self.fits(unit, asked[name].instance)
        new = {"absent", "missing"}
        fresh = {name for name, one in asked.items() if self.state(one.instance.unit) in new}
        self.wanted.write(self.folder, fresh)

    def write(self, unit: Unit, asked: Asked) -> None:
        """Write the unit's files where they differ, its certificate where it is due."""
        user = self.engine(unit.engine).place.user
        certificates.write(self.stack, self.folder, asked.instance, user)
        self.folder.mounted(
            self.folder.conf(unit.name), {file.name: file.content for file in unit.files}, user
        )

    def confirm(self, unit: Unit) -> None:
        """Note that the running server has read the files as they are now, and from where."""
        self.project.apply(unit.name, _digest(unit))
        self.project.apply(f"{unit.name}.conf", _identity(self.folder.conf(unit.name)))

    def prepare(self, unit: Unit) -> None:
        """The image fills an empty volume itself."""

    def sync(self, unit: Unit) -> None:
        """The image's own program brings what it makes to the disk."""

    def lacks(self, unit: Unit) -> str:
        """The image, where the engine has not got it."""
        image = self.image(self.stack.instances[unit.instance])
        return "" if self.project.has(image) else f"the image {image}"

    def fetch(self, unit: Unit) -> None:
        """Fetch the image where it is not there. Raises StepError."""
        self.project.fetch(self.image(self.stack.instances[unit.instance]))

    def start(self, unit: Unit) -> Ran:
        """Start the container, made anew where it is not as described."""
        self.project.forget(unit.name)
        self.project.forget(f"{unit.name}.conf")
        found = self.project.container(unit.name)
        if found is not None and self.wanted is not None:
            wanted = parse_size(self.wanted.whole.services[unit.name]["mem_limit"])
            if found["HostConfig"]["Memory"] != wanted:
                # `docker update` changed it: Compose takes the container for the one described
                self.project.discard(unit.name)
        return self.project.up(unit.name)

    def check(self, unit: Unit, child: Ran) -> None:
        """Raise StepError with the log's last words if the container has ended, or ends again and
        again."""
        self.project.check(unit.name, child, f"mngdb logs {unit.instance}")

    def stop(self, unit: str, with_signal: int) -> bool:
        """Stop the container; it has its own signal from the image."""
        return self.project.stop(unit)

    def kill(self, unit: str) -> None:
        """Remove the container; a volume cannot be removed under it."""
        if self.project.container(unit) is not None:
            self.project.discard(unit)

    def end(self) -> None:
        """Remove what is left of containers and networks; volumes stay."""
        self.project.down()

    def snapshot(self, unit: Unit) -> dict[str, str | None]:
        """The unit's files as they are."""
        conf = self.folder.conf(unit.name)
        return {file.name: self.folder.read(conf / file.name) for file in unit.files}

    def put_back(self, unit: Unit, files: dict[str, str | None]) -> None:
        """Write the files of a `snapshot` again, and describe the container as it was before."""
        user = self.engine(unit.engine).place.user
        kept = {name: text for name, text in files.items() if text is not None}
        self.folder.mounted(self.folder.conf(unit.name), kept, user)
        if self.described:
            self.project.describe(unit.name, self.described)

    def rescue(self, unit: Unit, asked: Asked) -> Callable[[], None] | None:
        """What gives the administrator the vault's secret, from inside; None: nothing does."""
        found = self.engine(unit.engine).container(asked, unit).rescue
        if found is None:
            return None
        argv, text = found

        def run() -> None:
            self.project.inside(unit.name, argv, text)

        return run

    @cached_property
    def beside(self) -> Beside:
        """Exporters, and what a page is made of."""
        return Beside(self.stack, self.project, self.folder)

    def services(self) -> list[Service]:
        """How those beside the units do."""
        return self.beside.services()

    def unproven(self) -> list[str]:
        """Containers whose health check has not passed since they were started."""
        return self.project.starting([*self.wanted.whole.services] if self.wanted else [])

    def steps(self) -> list[Step]:
        """What brings those beside the units as they should be."""
        return [] if self.wanted is None else self.beside.steps(self.wanted)

    def remove(self) -> None:
        """Remove everything of the project, the volumes included, and the folder."""
        self.project.remove()
        self.folder.remove()

    # --- the log

    def log_lines(self, unit: str, count: int) -> list[str]:
        """The last lines of a unit's log."""
        return self.project.log(unit, count)

    def follow(self, unit: str, count: int) -> Iterator[str]:
        """The last lines, and others as they come."""
        return self.project.follow(unit, count)


def _identity(folder: Path) -> str:
    """Which folder it is: another one of the same name is another one."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def _digest(unit: Unit) -> str:
    content = "\0".join(f"{file.name}\0{file.content}" for file in unit.files)
    return hashlib.sha256(("\0".join(unit.argv) + "\0" + content).encode()).hexdigest()
