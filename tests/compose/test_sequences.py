"""Whatever is done to projects, containers and volumes in whatever order: a row that was
acknowledged is there, or was removed by an act that named it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.compose.stacks import ComposeCli
from tests.compose.volumes import keys, put, relabel, volume
from tests.conftest import EVERYTHING
from tests.docker import Engine, new

pytestmark = [pytest.mark.docker, pytest.mark.slow]

#: How many sequences, and how long each is.
COUNT = int(os.environ.get("MNGDB_SEQUENCES", "200" if EVERYTHING else "2"))
STEPS = 8
FILE = 'agent: false\nredis: {memory: 32mb}\napps: {shop: {redis: "shop:*"}}\n'
NAMES = ("mng", "other")


@dataclass
class Kept:
    """A stack and the rows that it acknowledged. `folder` is its project now."""

    state: Path
    folder: Path
    name: str
    engine: Engine
    rows: set[str] = field(default_factory=set)


@dataclass
class World:
    """Projects in a folder on two engines; commands are led to one of these."""

    top: Path
    home: Path
    chance: random.Random
    engines: list[Engine]
    stacks: list[Kept] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    count: int = 0

    # --- what there is

    @property
    def engine(self) -> Engine:
        return self.engines[0]

    def cli(self, folder: Path, engine: Engine | None = None) -> ComposeCli:
        file = folder / "mngdb.yaml"
        found = ComposeCli(folder, engine or self.engine, file.read_text().split()[1])
        found.env |= {"MNGDB_STATE_HOME": str(self.home), "PWD": str(folder)}
        return found

    def some(self) -> Path:
        return self.chance.choice(sorted(path.parent for path in self.top.glob("*/mngdb.yaml")))

    def new(self) -> Path:
        self.count += 1
        return self.top / f"p{self.count}"

    def stack(self, folder: Path) -> Kept | None:
        return next((one for one in self.stacks if one.folder == folder), None)

    def write(self, folder: Path, name: str) -> None:
        (folder / "mngdb.yaml").write_text(f"name: {name}\ntarget: compose\n{FILE}")

    def note(self, *words: object) -> None:
        self.done.append(" ".join(map(str, words)))

    # --- what is done to projects

    def checkout(self) -> None:
        folder = self.new()
        folder.mkdir()
        self.write(folder, NAMES[0])
        self.note("checkout", folder.name)

    def up(self) -> None:
        folder = self.some()
        cli = self.cli(folder)
        done = cli.run("up")
        self.note("up", folder.name, done.returncode)
        if done.returncode:
            return
        state, found = (folder / ".mngdb" / cli.name).readlink(), self.stack(folder)
        if found is None:
            found = next((one for one in self.stacks if one.state == state), None)
        if found is None:
            found = Kept(state, folder, cli.name, self.engine)
            self.stacks.append(found)
        elif found.folder != folder:
            # a copy whose original was removed is the project; nobody else is
            assert not found.folder.exists(), (self.done, done.stderr)
            found.folder = folder
        assert (state, self.engine) == (found.state, found.engine), self.done
        assert found.rows <= keys(cli), (self.done, found)
        row = str(len(self.done))
        put(cli, row)
        found.rows.add(row)

    def copy(self) -> None:
        source, target = self.some(), self.new()
        subprocess.run(["cp", "-a", source, target], check=True)
        self.note("copy", source.name, target.name)

    def move(self) -> None:
        source, target = self.some(), self.new()
        source.rename(target)
        found = self.stack(source)
        if found is not None:
            # until a command is run there, a copy in its place would be taken for it
            known = self.cli(target).run("status").returncode != 2
            # moved without its pointer: nobody can tell whose it is
            found.folder = target if known else Path("/nonexistent")
        self.note("move", source.name, target.name)

    def clean(self) -> None:
        folder = self.some()
        shutil.rmtree(folder / ".mngdb", ignore_errors=True)
        self.note("clean", folder.name)

    def rename(self) -> None:
        folder = self.some()
        other = NAMES[self.cli(folder).name == NAMES[0]]
        self.write(folder, other)
        self.note("rename", folder.name, other)

    def down(self) -> None:
        folder = self.some()
        self.note("down", folder.name, self.cli(folder).run("down").returncode)

    def destroy(self) -> None:
        folder = self.some()
        cli, found = self.cli(folder), self.stack(folder)
        done = cli.run("destroy", "--yes", cli.name)
        self.note("destroy", folder.name, done.returncode)
        if done.returncode == 0 and found is not None and found.name == cli.name:
            assert found.engine == self.engine, self.done
            self.stacks.remove(found)

    # --- what is done to the engine

    def kill(self) -> None:
        running = self.engine.docker("ps", "-q").split()
        if running:
            self.engine.run("kill", *running)
        self.note("kill")

    def other_engine(self) -> None:
        self.engines.reverse()
        self.note("engine", self.engine.folder.name)

    def owner(self, cli: ComposeCli) -> Kept | None:
        """Whose a volume of the name on this engine is."""
        here = [one for one in self.stacks if one.engine == self.engine and one.name == cli.name]
        return here[0] if here else None

    def volume_by_hand(self) -> None:
        """A person puts a volume of the name there without labels, or with another stack's; what
        was in it stays in it."""
        cli = self.cli(self.some())
        labels = self.chance.choice(({}, {"mngdb.id": "0" * 32, "mngdb.stack": cli.name}))
        self.note("volume", cli.name, sorted(labels))
        self.engine.run("rm", "-f", cli.unit("redis"), cli.unit("redis-exporter"))
        if volume(cli) is not None:
            relabel(cli, **labels)
        else:
            self.engine.docker("volume", "create", cli.unit("redis-data"))

    def remove_volume(self) -> None:
        """A person removes a volume, by its name."""
        cli = self.cli(self.some())
        self.note("volume rm", cli.name)
        self.engine.run("rm", "-f", cli.unit("redis"), cli.unit("redis-exporter"))
        self._lost(cli, self.engine.run("volume", "rm", cli.unit("redis-data")).returncode == 0)

    def compose_down_v(self) -> None:
        """A person removes a Compose project with its volumes, and starts it anew perhaps."""
        found = self.chance.choice(self.stacks or [None])
        if found is None or found.engine != self.engine:
            return
        where = found.state / "rendered"
        if not (where / "docker-compose.yml").exists():
            return
        cli = ComposeCli(found.folder, self.engine, found.name)
        removed = self.engine.run("compose", "down", "-v", cwd=where).returncode == 0
        self.note("compose down -v", found.name)
        self._lost(cli, removed and volume(cli) is None)
        if self.chance.random() < 0.5:
            self.engine.run("compose", "up", "-d", cwd=where)
            self.note("compose up")

    def _lost(self, cli: ComposeCli, gone: bool) -> None:
        found = self.owner(cli) if gone else None
        if found is not None:
            found.rows.clear()

    # --- what has to be

    def end(self) -> None:
        """Every stack can be brought up again, by what its messages say, with every row."""
        for found in self.stacks:
            self.engines.sort(key=lambda one: one != found.engine)
            for name in NAMES:  # names are the engine's, and copies have the same
                self.engine.run("rm", "-f", f"{name}-redis", f"{name}-redis-exporter")
                for network in ("db", "exporters", "metrics"):
                    self.engine.run("network", "rm", f"{name}-{network}")
            if not (found.folder / "mngdb.yaml").exists():
                found.folder = self.new()
                found.folder.mkdir()
            self.write(found.folder, found.name)
            cli = self.cli(found.folder)
            if self._of_another(cli, found):
                assert not found.rows, self.done
                continue
            # its own, or a person's: it is named
            words = ("up", "--allow", cli.unit("redis"))
            done = cli.run(*words)
            if done.returncode == 2:
                # renamed, cleaned and moved at once: a command has to say whose folder it is
                assert cli.run("stacks", "attach", found.state.name).returncode == 0, done.stderr
                done = cli.run(*words)
            assert done.returncode == 0, (self.done, done.stderr)
            assert (found.folder / ".mngdb" / found.name).readlink() == found.state, self.done
            assert found.rows <= keys(cli), (self.done, found)
            cli.ok("down")

    def _of_another(self, cli: ComposeCli, found: Kept) -> bool:
        """Whether another stack has made the volume of the name, after this one's was removed."""
        told = (volume(cli) or {}).get("mngdb.id")
        ids = {json.loads((one.state / "stack.json").read_text())["id"]: one for one in self.stacks}
        return told in ids and ids[told] is not found


OPERATIONS = {
    World.up: 5,
    World.copy: 2,
    World.move: 1,
    World.clean: 1,
    World.rename: 1,
    World.down: 2,
    World.destroy: 2,
    World.kill: 1,
    World.checkout: 1,
    World.other_engine: 2,
    World.volume_by_hand: 1,
    World.remove_volume: 1,
    World.compose_down_v: 1,
}


@pytest.fixture(scope="module")
def engines() -> Iterator[list[Engine]]:
    """Two engines that are nobody else's."""
    found = [new(), new()]
    yield found
    for engine in found:
        engine.remove()


@pytest.mark.parametrize("seed", range(COUNT))
def test_no_sequence_of_acts_loses_a_row(engines: list[Engine], tmp_path: Path, seed: int) -> None:
    home = Path(os.environ["MNGDB_STATE_HOME"]) / f"c{seed}"
    world = World(tmp_path, home, random.Random(seed), [*engines])
    try:
        world.checkout()
        world.up()
        for _ in range(STEPS):
            step = world.chance.choices([*OPERATIONS], [*OPERATIONS.values()])[0]
            step(world)
        world.end()
    finally:
        for engine in engines:
            _empty(engine)
        shutil.rmtree(home, ignore_errors=True)


def _empty(engine: Engine) -> None:
    for kind, every in (("container", ("-aq",)), ("volume", ("-q",))):
        found = engine.docker(kind, "ls", *every).split()
        if found:
            engine.docker(kind, "rm", "-f", *found)
    engine.docker("network", "prune", "-f")
