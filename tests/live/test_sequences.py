"""Whatever is done to projects in whatever order: a row that was acknowledged is there, or was
removed by a command that named it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from tests.conftest import EVERYTHING, Cli, free_port
from tests.live import faults

pytestmark = [pytest.mark.live, pytest.mark.slow]

#: How many sequences, and how long each is.
COUNT = int(os.environ.get("MNGDB_SEQUENCES", "200" if EVERYTHING else "6"))
STEPS = 9
STRANGER = 54321


@dataclass
class Kept:
    """One stack as it has to be: the rows that it acknowledged. `folder` is its project now."""

    state: Path
    folder: Path
    name: str
    rows: set[str] = field(default_factory=set)


@dataclass
class World:
    """Projects in a folder, and the stacks that they stand for."""

    top: Path
    env: dict[str, str]
    chance: random.Random
    stacks: list[Kept] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    count: int = 0

    # --- what there is

    def cli(self, folder: Path) -> Cli:
        return Cli(folder, {**self.env, "PWD": str(folder)})

    def projects(self) -> list[Path]:
        return sorted(path.parent for path in self.top.glob("*/mngdb.yaml"))

    def some(self) -> Path:
        return self.chance.choice(self.projects())

    def new(self) -> Path:
        self.count += 1
        return self.top / f"p{self.count}"

    def stack(self, folder: Path) -> Kept | None:
        """The stack that a folder's project is, if it is one's."""
        return next((one for one in self.stacks if one.folder == folder), None)

    def write(self, folder: Path, name: str = "mng") -> None:
        text = f'redis: {{port: {free_port()}}}\napps: {{shop: {{redis: "shop:*"}}}}\n'
        (folder / "mngdb.yaml").write_text(f"name: {name}\nagent: false\n{text}")

    # --- what is done

    def checkout(self) -> None:
        folder = self.new()
        folder.mkdir()
        self.write(folder)
        self.done.append(f"checkout {folder.name}")

    def up(self) -> None:
        folder = self.some()
        cli = self.cli(folder)
        done = cli.run("up")
        self.done.append(f"up {folder.name}: {done.returncode}")
        if done.returncode:
            return
        found = self.stack(folder)
        name = cli.json("status")["stack"]
        state = (folder / ".mngdb" / name).readlink()
        if found is None:
            found = next((one for one in self.stacks if one.state == state), None)
        if found is None:
            found = Kept(state, folder, name)
            self.stacks.append(found)
        elif found.folder != folder:
            # a copy whose original was removed is the project; nobody else is
            assert not found.folder.exists(), (self.done, done.stderr)
            found.folder = folder
        assert state == found.state
        row = str(len(self.done))
        with redis.Redis.from_url(cli.env_of("shop")["REDIS_URL"], socket_timeout=60) as client:
            client.set(f"shop:{row}", row)
        url = cli.ok("url", "redis").strip()
        with redis.Redis.from_url(url, decode_responses=True, socket_timeout=60) as admin:
            faults.written(admin)
        found.rows.add(row)

    def copy(self) -> None:
        source, target = self.some(), self.new()
        subprocess.run(["cp", "-a", source, target], check=True)
        self.done.append(f"copy {source.name} {target.name}")

    def move(self) -> None:
        source, target = self.some(), self.new()
        source.rename(target)
        found = self.stack(source)
        if found is not None:
            # until a command is run there, a copy in its place would be taken for it
            known = self.cli(target).run("status").returncode != 2
            # moved without its pointer: nobody can tell whose it is
            found.folder = target if known else Path("/nonexistent")
        self.done.append(f"move {source.name} {target.name}")

    def clean(self) -> None:
        folder = self.some()
        shutil.rmtree(folder / ".mngdb", ignore_errors=True)
        self.done.append(f"clean {folder.name}")

    def rename(self) -> None:
        folder = self.some()
        text = (folder / "mngdb.yaml").read_text()
        other = "other" if text.startswith("name: mng") else "mng"
        (folder / "mngdb.yaml").write_text(f"name: {other}\n" + text.partition("\n")[2])
        self.done.append(f"rename {folder.name} {other}")

    def down(self) -> None:
        folder = self.some()
        self.done.append(f"down {folder.name}: {self.cli(folder).run('down').returncode}")

    def destroy(self) -> None:
        folder = self.some()
        name = (folder / "mngdb.yaml").read_text().split()[1]
        done = self.cli(folder).run("destroy", "--yes", name)
        self.done.append(f"destroy {folder.name}: {done.returncode}")
        found = self.stack(folder)
        if done.returncode == 0 and found is not None and found.name == name:
            self.stacks.remove(found)

    def kill(self) -> None:
        for found in self.stacks:
            for process in _servers(found.state):
                faults.end_of(process)
        self.done.append("kill")

    def stranger(self) -> None:
        """As root in a folder that became somebody else's: nothing is done there."""
        folder = self.some()
        if os.geteuid() != 0:
            return
        os.chown(folder, STRANGER, STRANGER)
        for words in (("down",), ("destroy", "--yes", "mng"), ("up",)):
            assert self.cli(folder).run(*words).returncode == 2
        os.chown(folder, 0, 0)
        self.done.append(f"stranger {folder.name}")

    def remove(self) -> None:
        """The project goes, the stack stays."""
        folder = self.some()
        found = self.stack(folder)
        if len(self.projects()) < 2:
            return
        shutil.rmtree(folder)
        if found is not None:
            found.folder = Path("/nonexistent")
        self.done.append(f"remove {folder.name}")

    # --- what has to be

    def check(self) -> None:
        """Every stack that nobody destroyed has its data, at each step."""
        for found in self.stacks:
            data = found.state / "servers/mng-redis/data"
            other = found.state / "servers/other-redis/data"
            assert data.exists() or other.exists(), (self.done, found)

    def end(self) -> None:
        """Every stack can be brought up again, with every row."""
        for found in self.stacks:
            self._free()
            folder = found.folder
            if not (folder / "mngdb.yaml").exists():
                folder = self.new()
                folder.mkdir()
                self.write(folder, found.name)
                self.cli(folder).ok("stacks", "attach", found.state.name)
            text = (folder / "mngdb.yaml").read_text().partition("\n")[2]
            (folder / "mngdb.yaml").write_text(f"name: {found.name}\n{text}")
            cli = self.cli(folder)
            done = cli.run("up")
            if done.returncode == 2:
                # renamed, cleaned and moved at once: a command has to say whose folder it is
                assert cli.run("stacks", "attach", found.state.name).returncode == 0, done.stderr
                done = cli.run("up")
            assert done.returncode == 0, "; ".join(self.done) + done.stderr
            assert (folder / ".mngdb" / found.name).readlink() == found.state, self.done
            url = cli.env_of("shop")["REDIS_URL"]
            with redis.Redis.from_url(url, socket_timeout=60) as client:
                rows = {key.decode().removeprefix("shop:") for key in client.scan_iter("shop:*")}
            assert found.rows <= rows, (self.done, found, rows)

    def _free(self) -> None:
        """Copied files have the same port."""
        for found in self.stacks:
            for process in _servers(found.state):
                faults.end_of(process)


def _servers(state: Path) -> list[int]:
    found = []
    for pidfile in state.glob("servers/*/run/server.pid"):
        pid = int(pidfile.read_text().split()[0])
        try:
            where = str(Path(f"/proc/{pid}/cwd").readlink())
        except OSError:
            continue
        if where.startswith(str(state.resolve())):
            found.append(pid)
    return found


OPERATIONS = {
    World.up: 5,
    World.copy: 2,
    World.move: 2,
    World.clean: 2,
    World.rename: 1,
    World.down: 2,
    World.destroy: 1,
    World.kill: 1,
    World.checkout: 1,
    World.stranger: 1,
    World.remove: 1,
}


@pytest.mark.parametrize("seed", range(COUNT))
def test_no_sequence_of_acts_loses_a_row(tmp_path: Path, seed: int) -> None:
    home = Path(os.environ["MNGDB_STATE_HOME"]) / f"s{seed}"
    world = World(tmp_path, {"MNGDB_STATE_HOME": str(home)}, random.Random(seed))
    try:
        world.checkout()
        world.up()
        for _ in range(STEPS):
            step = world.chance.choices([*OPERATIONS], [*OPERATIONS.values()])[0]
            step(world)
            world.check()
        world.end()
    finally:
        for state in home.glob("stacks/*-*"):
            for process in _servers(state):
                faults.end_of(process)
        shutil.rmtree(home, ignore_errors=True)
