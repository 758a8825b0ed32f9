"""Everything that shall be in the rendered folder, put together from the instances. Pure, until it
is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence

import yaml
from msgspec import Struct
from msgspec.structs import replace

from mngdb.container import Container, secret_name
from mngdb.engines.protocol import AnyEngine
from mngdb.model import DesiredInstance, Unit
from mngdb.spec.agent import MONITOR
from mngdb.spec.base import EngineName
from mngdb.spec.compose import Compose
from mngdb.spec.stack import Instance, Stack
from mngdb.targets.compose import certificates, document, services
from mngdb.targets.compose.folder import Folder
from mngdb.targets.compose.ownership import ID
from mngdb.targets.compose.part import Part, SecretFile, together


class Rendering(Struct, frozen=True):
    """The stack as a Compose project."""

    stack: Stack
    identity: str
    """The stack's id."""
    project: str
    asked: Mapping[str, DesiredInstance]
    units: Mapping[str, Unit]
    """By the name of the instance."""
    whole: Part
    engine: Callable[[EngineName], AnyEngine]

    def text(self) -> str:
        """docker-compose.yml."""
        return document.compose(self.project, self.stack.name, self.whole)

    def differences(self, before_text: str, name: str) -> str:
        """What is another in a service than a docker-compose.yml says, in words."""
        before = (yaml.safe_load(before_text) or {}).get("services", {}).get(name, {})
        now = services.labelled(self.whole.services)[name]
        keys = {key for key in {*before, *now} - {"labels"} if before.get(key) != now.get(key)}
        said = (
            [] if ID in before.get("labels", {ID: ""}) else ["the stack's id is added as a label"]
        )
        for key in sorted(keys):
            old, new = before.get(key), now.get(key)
            plain = not isinstance(old, list | dict) and not isinstance(new, list | dict)
            said.append(f"{key} {old} → {new}" if plain else key)
        return ", ".join(said) or "it differs from its definition"

    def write(self, folder: Folder, fresh: set[str]) -> None:
        """Write what describes the stack, and the secrets; units' own files are written with their
        steps. `fresh`: instances that start for the first time."""
        folder.prepare()
        self.write_secrets(folder)
        for name, one in self.asked.items():
            place = self.engine(one.instance.engine).info.image
            init = folder.root / "init" / self.units[name].name
            if name in fresh or not init.exists():
                first = self._container(name, first=True)
                if first.first_at:
                    folder.mounted(init, first.first, place.user)
        for path, content in self.whole.files.items():
            folder.public(path, content)
        instances = [one.instance for one in self.asked.values()]
        containers = [self._container(name, first=False) for name in self.asked]
        beside = self.whole.services.items()
        exporters = [f"{n}:{port}" for n, one in beside for port in one.get("expose", ())]
        folder.public("README.md", document.readme(self.stack, instances, containers, exporters))
        # last: with it the folder can be started
        folder.public("docker-compose.yml", self.text())

    def write_secrets(self, folder: Folder) -> None:
        """Write the secrets where they differ."""
        for name, secret in self._every_secret().items():
            folder.secret(name, secret.content, secret.uid)

    def secrets_digest(self) -> str:
        """The digest of all secrets."""
        every = {name: one.content for name, one in self._every_secret().items()}
        return hashlib.sha256(json.dumps(every, sort_keys=True).encode()).hexdigest()

    def strange_secrets(self, folder: Folder, written: str | None) -> list[str]:
        """The secrets' files that are not as `write_secrets` has left them. Where secrets of
        another digest were `written`, files differ because the vault changed: other steps tell."""
        same = written == self.secrets_digest()
        return [
            f"secrets/{name}"
            for name, one in self._every_secret().items()
            if folder.strange_secret(name, one.content if same else None, one.uid)
        ]

    def write_units(self, folder: Folder, but: Collection[str] = ()) -> None:
        """Write every unit's own files, `but` those of the units of these names."""
        for name, unit in self.units.items():
            if unit.name in but:
                continue
            user = self.engine(unit.engine).info.image.user
            certificates.write(self.stack, folder, self.asked[name].instance, user)
            files = {file.name: file.content for file in unit.files}
            folder.mounted(folder.conf(unit.name), files, user)

    def _container(self, name: str, *, first: bool) -> Container:
        one = self.asked[name]
        return self.engine(one.instance.engine).container(one, self.units[name], first=first)

    def _every_secret(self) -> dict[str, SecretFile]:
        """Those that containers mount, and the apps': whoever starts an app finds its own there.
        What is written of an app whose secret cannot be used stays as it is."""
        every, kept = dict[str, SecretFile](), set[str]()
        for name, one in self.asked.items():
            kept |= {secret_name(name, login) for login in one.unusable}
            if MONITOR in one.unusable:
                kept.add(services.exporter_name(self.units[name]))
            every |= {
                secret_name(name, app): SecretFile(one.secrets[app].reveal(), 0)
                for app in one.instance.grants
            }
        every |= self.whole.secrets
        return {key: one for key, one in every.items() if key not in kept}


def known(asked: DesiredInstance, folder: Folder) -> DesiredInstance:
    """Without the apps whose secrets cannot be used and were never written here: a container would
    mount nothing in their place."""
    instance = asked.instance
    new = {one for one in asked.unusable if not folder.has_secret(instance.name, one)}
    grants = {app: one for app, one in instance.grants.items() if app not in new}
    return replace(asked, instance=replace(instance, grants=grants)) if new else asked


def render(
    stack: Stack,
    spec: Compose,
    identity: str,
    asked: Mapping[str, DesiredInstance],
    engines: Callable[[EngineName], AnyEngine],
    image: Callable[[Instance], str],
    fit: Callable[[Unit, DesiredInstance], Unit],
    more: Sequence[Part] = (),
) -> Rendering:
    """The whole stack, with `more` parts beside the instances'. Pure."""
    parts, units = [], {}
    for name, one in asked.items():
        engine = engines(one.instance.engine)
        unit = units[name] = fit(engine.render(one), one)
        container = engine.container(one, unit)
        source = image(one.instance)
        parts.append(services.server(one, unit, container, engine.info.image, source))
        if container.exporter is not None:
            kind = f"{one.instance.engine}_exporter"
            given = getattr(spec.images, kind, None)
            parts.append(services.exporter(one, unit, container.exporter, given, source))
    project = spec.project or stack.name
    whole = services.marked(together([*parts, *more]), stack.name, identity)
    return Rendering(stack, identity, project, asked, units, whole, engines)
