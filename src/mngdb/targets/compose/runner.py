"""A Docker engine as a place for units: containers of a Compose project, kept in a folder."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace

from mngdb import disk
from mngdb.container import CONF
from mngdb.engines.protocol import AnyEngine
from mngdb.errors import UsageError
from mngdb.facts.doctor import Condition
from mngdb.model import (
    DesiredInstance,
    File,
    Notice,
    Program,
    Proof,
    ShellCommand,
    Site,
    Step,
    Unit,
)
from mngdb.release import Release
from mngdb.secret import Secret
from mngdb.spec.base import EngineName
from mngdb.spec.compose import Compose
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance, Stack
from mngdb.spec.units import parse_size
from mngdb.targets.compose import certificates, page_certificate, services, volume, web
from mngdb.targets.compose.container_log import ContainerLog
from mngdb.targets.compose.containers import NOT_RUN, Project
from mngdb.targets.compose.data import Data
from mngdb.targets.compose.docker import Docker, secrets_of
from mngdb.targets.compose.folder import Folder
from mngdb.targets.compose.looks import Looks
from mngdb.targets.compose.marks import Marks
from mngdb.targets.compose.notes import Notes, left
from mngdb.targets.compose.ownership import Ownership
from mngdb.targets.compose.part import Part
from mngdb.targets.compose.places import Places, rendered
from mngdb.targets.compose.reading import Reading
from mngdb.targets.compose.rendering import Rendering, known, render
from mngdb.targets.compose.running import Ran, RunningContainer
from mngdb.targets.compose.ways import Ways
from mngdb.targets.process import machine
from mngdb.targets.process.verify import judge
from mngdb.targets.protocol import State, UnitRecord

#: Under which the digest of the secrets that were written is noted.
_SECRETS = "secrets"


@dataclass
class ComposeRunner:
    """The target `compose` for one stack."""

    stack: Stack
    spec: Compose
    engine: Callable[[EngineName], AnyEngine]
    project: Project
    folder: Folder
    page_secret: Callable[[str], Secret]
    """The vault's name of a page's secret to it."""
    wanted: Rendering | None = None
    described: str = ""
    """docker-compose.yml as an earlier command left it."""

    @classmethod
    def of(
        cls,
        stack: Stack,
        engine: Callable[[EngineName], AnyEngine],
        environ: Mapping[str, str],
        page_secret: Callable[[str], Secret],
        identity: str,
    ) -> ComposeRunner:
        """The Docker engine of the stack whose id is `identity`. Nothing is asked yet."""
        # an instance that moved elsewhere left its container where the file said before
        spec = stack.source.target.of(Compose) or left(stack.state) or Compose()
        given = (stack.folder / disk.expanded(spec.folder)).resolve() if spec.folder else None
        docker, notes = Docker(spec.docker_host, environ), Notes(stack.state)
        # where the version before rendered it
        older = given or (stack.folder / "compose").resolve()
        owned = Ownership(docker, stack.name, identity, notes, environ, older, Marks(docker))
        root = given or rendered(stack)
        project = Project(docker, spec.project or stack.name, stack.name, root, notes, owned)
        return cls(stack, spec, engine, project, Folder(root, stack.name, identity), page_secret)

    @cached_property
    def data(self) -> Data:
        """The units' volumes."""
        return Data(self.project, self.stack.state)

    @cached_property
    def looks(self) -> Looks:
        """How containers do."""
        return Looks(self.project, self.data)

    @cached_property
    def reading(self) -> Reading:
        """What containers have read of their files."""
        return Reading(self.project, self.folder)

    @cached_property
    def places(self) -> Places:
        """Where the stack is rendered, and was before."""
        return Places(self.stack, self.project, self.folder)

    @cached_property
    def ways(self) -> Ways:
        """The ways to the servers."""
        return Ways(self.project.docker)

    # --- what is wanted

    def image(self, instance: Instance) -> str:
        """The image of an instance."""
        place = self.engine(instance.engine).info.image
        return services.image(self.spec, instance.engine, place, instance.spec.version)

    def site(self, instance: Instance, *, find: bool = True) -> Site:
        """The instance's place, as its container sees it. No engine is asked."""
        place, source = self.engine(instance.engine).info.image, self.image(instance)
        tag = re.search(r":v?(\d+(?:\.\d+)*)", source)
        version = tag[1] if tag else instance.spec.version
        if version is None:
            raise UsageError(
                f"{instance.name}: the image {source} does not report its version",
                f"set it: {instance.name}: {{version: …}}",
            )
        return Site(
            data=place.data,
            conf=CONF,
            run=place.run,
            log="",
            memory=machine.memory(),
            program=Program(place.server, "", version, self._product(instance), source),
            owners=(ENGINE_INFO[instance.engine].image.account,),
            tls=certificates.SEEN if instance.tls else None,
            ca=str(certificates.ca(self.stack)) if instance.tls else "",
            host=instance.unit,
            listen=("0.0.0.0",),  # noqa: S104 - of the container's own networks
            tunnel=str(self.ways.folder(instance.unit)),
            proof=Proof(instance.unit),
        )

    def _product(self, instance: Instance) -> str:
        return self.engine(instance.engine).info.title

    def adapt(self, unit: Unit, asked: DesiredInstance) -> Unit:
        """The unit with the files that its container reads beside the server's."""
        container = self.engine(unit.engine).container(known(asked, self.folder), unit)
        more = {"health.sh": container.health, **container.files}
        if asked.instance.tls:
            more[certificates.CA] = certificates.authority(self.stack)
        return replace(
            unit,
            files=(*unit.files, *(File(name, text) for name, text in more.items())),
            login_files=unit.login_files | container.files.keys(),  # what a first start makes
        )

    def expect(self, asked: Mapping[str, DesiredInstance]) -> None:
        """Take note of all that shall live here."""
        asked = {name: known(one, self.folder) for name, one in asked.items()}
        text = self.folder.described()
        self.described = text or next(
            filter(None, (f.described() for f in self.places.older())), ""
        )
        more = [*web.part(self.stack, asked, self.engine, self.page_secret)]
        if certificates.wanted(self.stack):
            more.append(Part(files={certificates.CA: certificates.authority(self.stack)}))
        identity = self.project.owned.id
        self.wanted = render(
            *(self.stack, self.spec, identity, asked, self.engine, self.image, self.adapt), more
        )

    def check_names(self, allow: frozenset[str]) -> None:
        """Raise MngdbError where the engine is another one, or where a container, a network or a
        volume of the name is not ours: Compose would use them as they are."""
        owned = self.project.owned
        owned.recognize(allow)
        self.data.allow = allow
        if self.wanted is None:
            return
        whole, units = self.wanted.whole, self.wanted.units.values()
        owned.require_names("container", [*whole.services])
        owned.require_names("network", [one["name"] for one in whole.networks.values()])
        volumes = {f"{unit.name}-data": unit.name for unit in units}
        more = [one["name"] for one in whole.volumes.values()]
        owned.require_names("volume", [name for name in more if name not in volumes])
        owned.require_volumes(volumes, allow)

    # --- reaching

    def reach(self, instance: Instance) -> AbstractContextManager[None]:
        """Connections to the socket become `docker exec`s into the container. A login that fails
        because no engine answers raises UnreachableError."""
        return self.ways.reach(instance)

    def enter(self, unit: str, command: ShellCommand, *, terminal: bool) -> list[str]:
        """The command line of the interactive client inside the container."""
        program, arguments = command.programs[0]
        flags = ["--interactive", *(["--tty"] if terminal else [])]
        names = secrets_of(list(command.env))
        client = [Path(program).name, *command.inside, *arguments]
        return ["docker", "exec", *flags, *names, unit, *client]

    # --- what there is

    def process(self, unit: str) -> RunningContainer | None:
        """The unit's container, if it runs."""
        return self.project.running(unit)

    def frozen(self, unit: str) -> str:
        """Empty: the engine would have to be asked, before each login."""
        return ""

    def condition(self, instance: Instance) -> Condition:
        """The unit's container, before anybody asks its server. Raises MngdbError."""
        return self.looks.condition(instance.unit)

    def answered(self, unit: str) -> bool:
        """Whether its files were confirmed since its container was started, by whomever."""
        return self.looks.answered(unit)

    def memory_limit(self, unit: str) -> int:
        """Bytes that the unit's container may take: its own limit, or all that there is."""
        return self.looks.memory_limit(unit)

    def listens(self, unit: str) -> bool:
        """Whether a process in its container takes TCP connections."""
        return self.project.listens(unit)

    def listeners(self, unit: str) -> tuple[()]:
        """A tunnel leads to the port of the file alone."""
        return ()

    def told(self, unit: str) -> list[str]:
        """The last lines since its container was started."""
        running = self.project.running(unit)
        return [] if running is None else self.project.said_since(unit, running.started)

    def titles(self, unit: str) -> list[str]:
        """What the processes in its container call themselves."""
        return self.project.titles(unit)

    def state(self, unit: str) -> State:
        """What there is of a unit."""
        return "running" if self.project.running(unit) is not None else self.data.left(unit)

    def missing(self, unit: str) -> str:
        """What is missing of the data that was there, for people; empty: nothing is."""
        return self.data.missing(unit)

    def forget(self, unit: str) -> None:
        """Data that is missing is not waited for any longer."""
        self.data.forget(unit)

    def seen(self, unit: Unit) -> None:
        """Note that the unit runs, and on which volume."""
        instance = self.stack.instances[unit.instance]
        self.data.seen(unit, self.image(instance), self.engine(unit.engine).info.image)

    def units(self) -> list[UnitRecord]:
        """Every unit that has a volume or a container."""
        return self.project.units()

    def place(self, unit: str) -> str:
        """The volume."""
        return f"the volume {unit}-data"

    def notices(self) -> list[Notice]:
        """Where Compose finds its files."""
        where = self.folder.root
        found = [
            Notice(
                "",
                f"the containers are described in {where}",
                f"cd {shlex.quote(str(where))} && docker compose ps",
            )
        ]
        page = self.stack.source.redisinsight
        if self.stack.insight and page is not None:
            found.append(Notice("", f"RedisInsight is at {page.url}, for people of the realm"))
        return found

    def handover(self, unit: Unit) -> str:
        """Whose the files are follows from the image."""
        return ""

    def stale_files(self, unit: Unit) -> list[str]:
        """The unit's files that the server is not known to have read as they should be."""
        return self.reading.stale_files(unit, self.engine(unit.engine).info.image.user)

    def renewal(self, unit: Unit, instance: Instance, running: Release | None = None) -> list[str]:
        """What its container is made of, where that is not as asked for; its certificate."""
        found = self.project.container(unit.name)
        if self.wanted is None or found is None:
            return []
        made = self.reading.made_otherwise(unit, found, self.wanted, self.described)
        return made + self.reading.certificate(self.stack, instance)

    def preflight(self, unit: Unit, instance: Instance) -> None:
        """What would keep a unit from starting. Raises MngdbError."""
        self.folder.claim()
        self.project.docker.need_compose()
        self.project.container(unit.name)  # raises for one that is not ours
        self.verify(unit)
        self.fits(unit, instance)

    def fits(self, unit: Unit, instance: Instance, running: Release | None = None) -> None:
        """Whether the image's server can read the data in the volume. Raises MngdbError."""
        place, image = self.engine(instance.engine).info.image, self.image(instance)
        volume.fits(self.project, place, image, unit, running, self.site(instance).program.release)

    def saw(self, unit: Unit, running: Release) -> None:
        """Note which server was on the unit's volume, and its image."""
        volume.saw(self.project, unit, running)

    def verify(self, unit: Unit) -> None:
        """Ask the image's own program whether it takes the files. Raises UsageError."""
        if not unit.verify or not self.stale_files(unit):
            return
        instance = self.stack.instances[unit.instance]
        user = self.engine(unit.engine).info.image.user
        with tempfile.TemporaryDirectory(prefix="mngdb-") as folder:
            self.folder.mounted(Path(folder), {f.name: f.content for f in unit.files}, user)
            argv = [word.replace("{conf}", "/verify") for word in unit.verify]
            mount = ("--volume", f"{folder}:/verify:ro")
            done = self.project.once(self.image(instance), user, argv, mount)
        if done.returncode != NOT_RUN:
            judge(unit, done)

    # --- changes

    def begin(self) -> None:
        """Note what is ours. Raises UsageError for a folder that is somebody else's."""
        self.folder.claim()
        self.project.owned.settle()
        self.data.take({} if self.wanted is None else self.wanted.units)
        self.places.keep()

    def repairs(self, asked: Mapping[str, DesiredInstance]) -> list[Step[None]]:
        """What brings the folder's directories and secrets back, whoever changed them."""
        self.folder.claim()
        if not asked or not self.folder.described():
            return []
        self.expect(asked)
        assert self.wanted is not None  # noqa: S101 - just made
        wanted = self.wanted
        written = self.project.notes.applied(_SECRETS)
        found = [*self.folder.strange(), *wanted.strange_secrets(self.folder, written)]

        def run(_: object) -> None:
            self.folder.mend()
            wanted.write_secrets(self.folder)

        one = next(iter(asked.values())).instance
        detail = f"owner, mode or content of {', '.join(found)}"
        step = Step(one.name, one.engine, "change", f"folder {self.folder.root}", detail, run)
        return [step] if found else []

    def publish(self, asked: Mapping[str, DesiredInstance]) -> None:
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
        self.project.notes.apply(_SECRETS, self.wanted.secrets_digest())

    def write_secrets(self, asked: Mapping[str, DesiredInstance]) -> None:
        """Write the secrets, each where containers have it mounted. Raises OSError."""
        self.folder.claim()
        if not self.folder.described():
            return
        self.expect(asked)
        assert self.wanted is not None  # noqa: S101 - just made
        self.wanted.write_secrets(self.folder)
        self.project.notes.apply(_SECRETS, self.wanted.secrets_digest())

    def write(self, unit: Unit, asked: DesiredInstance) -> None:
        """Write the unit's files where they differ, its certificate where it is due."""
        user = self.engine(unit.engine).info.image.user
        certificates.write(self.stack, self.folder, asked.instance, user)
        self.folder.mounted(
            self.folder.conf(unit.name), {file.name: file.content for file in unit.files}, user
        )

    def confirm(self, unit: Unit) -> None:
        """Note that the running server has read the files as they are now, and from where."""
        self.reading.confirm(unit)
        self.seen(unit)

    def prepare(self, unit: Unit) -> None:
        """The image fills an empty volume itself."""

    def sync(self, unit: Unit) -> None:
        """The image's own program brings what it makes to the disk."""

    def missing_image(self, unit: Unit) -> str:
        """The image, where the engine has not got it."""
        image = self.image(self.stack.instances[unit.instance])
        return "" if self.project.has(image) else f"the image {image}"

    def fetch(self, unit: Unit) -> None:
        """Fetch the image where it is not there. Raises StepError."""
        self.project.fetch(self.image(self.stack.instances[unit.instance]))

    def start(self, unit: Unit) -> Ran:
        """Start the container, made anew where it is not as described."""
        self.project.notes.forget(unit.name)
        self.project.notes.forget(f"{unit.name}.conf")
        found = self.project.container(unit.name)
        if found is not None and self.wanted is not None:
            wanted = parse_size(self.wanted.whole.services[unit.name]["mem_limit"])
            if found["HostConfig"]["Memory"] != wanted or self.project.misplaced(found):
                # Compose would take it for the one described
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

    def saved_files(self, unit: Unit) -> dict[str, str | None]:
        """The unit's files as they are."""
        conf = self.folder.conf(unit.name)
        return {file.name: self.folder.read(conf / file.name) for file in unit.files}

    def restore_files(self, unit: Unit, files: dict[str, str | None]) -> None:
        """Write the files of `saved_files` again, and describe the container as it was before."""
        user = self.engine(unit.engine).info.image.user
        kept = {name: text for name, text in files.items() if text is not None}
        self.folder.mounted(self.folder.conf(unit.name), kept, user)
        if self.described:
            self.project.describe(unit.name, self.described)

    def rescue(self, unit: Unit, asked: DesiredInstance) -> Callable[[], None] | None:
        """What gives the administrator the vault's secret, from inside; None: nothing does."""
        found = self.engine(unit.engine).container(asked, unit).rescue
        if found is None:
            return None
        argv, text = found

        def run() -> None:
            self.project.inside(unit.name, argv, text)

        return run

    def staying(self) -> list[Notice]:
        """What `remove` leaves: volumes and folders."""
        units = [one.unit for one in self.stack.instances.values() if one.contained]
        return [*self.data.strange(units), *self.places.given()]

    def remove(self) -> None:
        """Remove everything of the project, the volumes included, and the folder."""
        self.project.remove()
        for folder in (self.folder, *self.places.older()):
            folder.remove()

    # --- the log

    def log(self, unit: str) -> ContainerLog:
        """A unit's log."""
        return self.project.log(unit)
