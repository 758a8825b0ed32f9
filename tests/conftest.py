"""Fixtures that drive the real command against real servers on free loopback ports."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler.loadfile import LoadFileScheduling
from xdist.workermanage import WorkerController

from tests import keycloak
from tests.docker import Engine, shared
from tests.forks import Forks, forkable
from tests.hidden import pytest_runtest_makereport  # noqa: F401 — a hook

# a runner that was started in the background ignores it, and so would what the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

# a run is to find what the run before would have found, also in files that chance makes
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

ROOT = Path(__file__).parents[1]


def _state_home() -> Path:
    """Where this worker's stacks have their state: none of the machine's own are seen or touched.
    Root's is a place that servers' accounts can go to."""
    if os.geteuid() == 0:
        Path("/var/lib/mngdb").mkdir(mode=0o711, exist_ok=True)
    found = Path(tempfile.mkdtemp(prefix="t-", dir="/var/lib/mngdb" if os.geteuid() == 0 else None))
    found.chmod(0o711)
    # a benchmark that imports this, say, or a collection alone sets no fixture up
    atexit.register(_forget, found)
    return found


def _forget(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


#: `just test-all`: long tables whole, and many random sequences. CI, which has half an hour, takes
#: a part of each.
EVERYTHING = os.environ.get("MNGDB_TESTS") == "all"

STATE_HOME = _state_home()
os.environ["MNGDB_STATE_HOME"] = str(STATE_HOME)


def _ports() -> Iterator[int]:
    """Ports of this worker alone, and none of those that the system gives to connections: such a
    port may be taken again before a server listens there."""
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw3").removeprefix("gw")) % 4
    first = int.from_bytes(os.urandom(2))  # another run may be going on
    while True:
        yield 11_000 + 4_000 * share + first % 4_000
        first += 1


_PORTS = _ports()


def free_port() -> int:
    """A port that nobody listens on now, another one each time."""
    for port in _PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError


@dataclass
class Cli:
    """Runs `mngdb` in a folder, as a user would."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    forks: ClassVar[Forks | None] = None
    #: What is run: another one has more engines and targets.
    module: ClassVar[str] = "mngdb"
    #: What the file calls Redis' server: see `each_server`. Set, all tests run on Valkey.
    server: ClassVar[str] = os.environ.get("MNGDB_TEST_SERVER", "redis")

    #: PostgreSQL's version, where a text says none; empty: the default.
    postgres: ClassVar[str] = os.environ.get("MNGDB_TEST_POSTGRES", "")

    def run(
        self, *arguments: str, stdin: str | None = None, timeout: float = 300.0, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return what it printed; no check of the exit code."""
        # half of the tests' processor time went into importing the same libraries again
        usual = type(self).argv is Cli.argv and not more
        if self.forks is not None and usual and forkable(env := self.environ()):
            return self.forks.run(self.module, [*arguments], self.folder, env, stdin, timeout)
        return subprocess.run(
            self.argv(*arguments),
            cwd=self.folder,
            env=self.environ(),
            text=True,
            capture_output=True,
            input=stdin,
            timeout=timeout,
            check=False,
            **more,
        )

    def argv(self, *arguments: str) -> list[str]:
        """The command line, for tests that start it themselves."""
        return [sys.executable, "-m", self.module, *arguments]

    def environ(self) -> dict[str, str]:
        """The environment of the command."""
        return {**os.environ, "NO_COLOR": "1", **self.env}

    @property
    def state(self) -> Path:
        """The folder of the stack's state; where the pointer would be while there is none."""
        pointers = self.folder / ".mngdb"
        links = [path for path in pointers.glob("*") if path.is_symlink()]
        return links[0].readlink() if len(links) == 1 else pointers / "mng"

    def ok(self, *arguments: str, **more: Any) -> str:
        """Run a command that has to succeed; returns its standard output."""
        done = self.run(*arguments, **more)
        assert done.returncode == 0, (
            f"{arguments} exited {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def json(self, *arguments: str, **more: Any) -> Any:
        """Run a command with --json that has to succeed; returns the document."""
        return json.loads(self.ok("--json", *arguments, **more))

    def env_of(self, app: str) -> dict[str, str]:
        """An app's variables."""
        found: dict[str, str] = self.json("env", app)
        return found

    def write(self, text: str) -> None:
        """Write mngdb.yaml; `PORT1`, `PORT2`, … become free ports, the same each time. A text that
        says nothing of the agent gets none."""
        for number in range(9, 0, -1):
            word = f"PORT{number}"
            if word in text:
                text = text.replace(word, str(self.port(number)))
        if self.server != "redis" and "server: " not in text:
            text = re.sub(r"(?m)^redis: \{", f"redis: {{server: {self.server}, ", text)
        if self.postgres and "version: " not in text:
            text = re.sub(r"(?m)^postgres: \{", f"postgres: {{version: {self.postgres}, ", text)
        if not re.search(r"^(agent|\{)", text, re.MULTILINE):
            # its ports are the same in every stack; tests of the agent give it others
            text += "\nagent: false\n"
        (self.folder / "mngdb.yaml").write_text(text)

    _ports: dict[int, int] = field(default_factory=dict)

    def port(self, number: int) -> int:
        """The port that `PORT<number>` stands for."""
        if number not in self._ports:
            self._ports[number] = free_port()
        return self._ports[number]


def each_server() -> Any:
    """A fixture for one module, whose tests then run on Redis and on Valkey."""

    @pytest.fixture(scope="module", autouse=True, params=["redis", "valkey"])
    def server(request: pytest.FixtureRequest) -> Iterator[str]:
        usual, Cli.server = Cli.server, request.param
        yield request.param
        Cli.server = usual

    return server


@pytest.fixture(scope="session", autouse=True)
def _state() -> Iterator[None]:
    yield
    for path in STATE_HOME.glob("stacks/*"):  # what a failed test left
        _kill_all(path)
    shutil.rmtree(STATE_HOME)


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    Cli.forks = Forks()
    yield
    Cli.forks.close()
    Cli.forks = None


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A folder of its own; whatever stack the test brings up there is destroyed at the end."""
    found = Cli(tmp_path)
    yield found
    _destroy(found)


@pytest.fixture(scope="module")
def server() -> str:
    """What the file calls Redis' server; a module may have another fixture: `each_server`."""
    return Cli.server


@pytest.fixture(scope="module")
def module_cli(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """As `cli`, for the tests of one module that only look, or that tidy up after themselves."""
    found = Cli(tmp_path_factory.mktemp("stack"))
    yield found
    _destroy(found)


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The run's Docker engine, shared by its workers. Mark what uses it with `docker`."""
    folder = tmp_path_factory.getbasetemp()
    with shared(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as engine:
        yield engine


def _destroy(cli: Cli) -> None:
    """Stop and remove what runs. What a test left broken, so that `destroy` cannot, is ended by its
    pids and removed."""
    home = Path(cli.environ()["MNGDB_STATE_HOME"])
    states = [path for path in home.glob("stacks/*") if _project(path) == cli.folder]
    if not states and not (cli.folder / ".mngdb").exists():
        return
    done = cli.run("destroy", "--yes", "mng")
    alive = [pid for path in states for pid in _kill_all(path)]
    for path in states:
        shutil.rmtree(path, ignore_errors=True)
    assert done.returncode == 0 or alive == [], f"left running: {alive}\n{done.stderr}"


def _project(state: Path) -> Path | None:
    try:
        return Path(json.loads((state / "stack.json").read_text())["project"])
    except (FileNotFoundError, NotADirectoryError):
        return None


def _kill_all(state: Path) -> list[int]:
    """End the processes that work in a stack's folder; returns their pids."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            where = str((process / "cwd").readlink())
            if where.startswith(f"{state.resolve()}/"):
                os.kill(int(process.name), 9)
                found.append(int(process.name))
    return found


def pytest_report_header() -> list[str]:
    """Which servers the tests run against."""
    from mngdb.targets.local import programs

    lines = [f"user: uid {os.geteuid()}"]
    if os.geteuid() == 0:
        lines.append(f"docker: {_docker()}, images built here (tests/docker.py)")
    else:
        lines.append("left out: tests marked root or docker; only root may run them")
    if _browser():
        lines.append("browser: Chromium from Debian")
    else:
        lines.append("left out: tests marked browser; they need npm and apt-get")
    if _browser() and not keycloak.there():
        lines.append("left out: tests marked keycloak; they need mvn and Java")
    for engine, version in (("postgres", "17"), ("redis", "8"), ("mongodb", None)):
        found = programs.find(engine, version, None, None)
        lines.append(f"{engine}: {found.version} from {found.source}")
    return lines


def _docker() -> str:
    """The engine's version; where there is none, the first test that wants one installs it."""
    if shutil.which("dockerd") is None:
        return "not installed yet"
    said = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=False)
    return said.stdout.strip()


def _browser() -> bool:
    return all(shutil.which(tool) for tool in ("npm", "apt-get"))


#: What the name of a test or of its file has to say for it to be an engine's; a file whose name
#: says nothing is marked in the file.
_ENGINES = {"postgres": "postgres", "redis": "redis|valkey", "mongodb": "mongo"}


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of what this user or machine cannot have are left out, and the header says so. Those
    that take long come first, so that no worker is left alone with them at the end."""
    for item in items:
        for engine, names in _ENGINES.items():
            if re.search(names, item.nodeid):
                item.add_marker(engine)
    marks = set() if os.geteuid() == 0 else {"root", "docker"}
    if not _browser():
        marks |= {"browser", "keycloak"}
    if not keycloak.there():
        marks.add("keycloak")
    left_out = [item for item in items if any(map(item.get_closest_marker, marks))]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    long = ("slow", "docker", "browser")
    items.sort(key=lambda item: not any(map(item.get_closest_marker, long)))


class _Files(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file at a time to each worker, but all files with containers to two of them: Docker takes
    more processor time than the tests, and three workers with it starve each other."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if not file.startswith(("tests/compose/", "tests/web/test_containers")):
            return file
        return f"containers {Path(file).name in ('test_faults.py', 'test_life.py', 'test_tls.py')}"

    def remove_node(self, node: WorkerController) -> str | None:
        crashed: str | None = super().remove_node(node)
        # xdist would give it to the next worker, and the next (pytest-xdist#1189)
        for tests in self.workqueue.values() if crashed else ():
            if crashed in tests:
                tests[crashed] = True
        return crashed


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Why a test failed, as soon as it did: a run that is ended from without says so too."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        reason = getattr(getattr(report.longrepr, "reprcrash", None), "message", report.longrepr)
        first = str(reason).strip().partition("\n")[0]
        print(f"\n{report.nodeid} ({report.when}): {first}", file=sys.stderr, flush=True)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Files | None:
    """How the tests are dealt out."""
    return _Files(config, log) if config.getoption("dist") == "loadfile" else None
