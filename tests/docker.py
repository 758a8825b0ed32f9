"""A Docker engine for the tests: its own daemon, network and processes, and images under the
official names that are built here, because no registry is within reach.

The daemon runs in namespaces of its own (network, mounts, processes), so two of them do not meet,
and its end leaves nothing: no container, no mount, no network. Needs root.
`python -m tests.docker` fetches and builds all of it into the cache, once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests import golang
from tests.debian import cache, mirror
from tests.trixie import unpacked

_HERE = Path(__file__).parent / "images"
#: Debian packages of the machine itself: the engine, and what makes a Debian of another release.
_TOOLS = {"dockerd": "docker.io", "docker": "docker.io", "mmdebstrap": "mmdebstrap", "npm": "npm"}
#: In every image; Redis 8 and PostgreSQL 17 are first in this release.
_RELEASE = "trixie"
_PACKAGES = (
    "ca-certificates,postgresql-17,redis-server,redis-tools,prometheus-redis-exporter,"
    "prometheus-postgres-exporter,libcurl4t64,nodejs"
)
_MONGOSH = "mongosh@2.5.0"
_LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")
_START_TIMEOUT = 120.0
#: Seconds that images of other inputs stay in the cache.
_KEEP = 86400
#: Brings the namespace's loopback up, gives the daemon its own configuration (with the key that
#: makes its id), then becomes the daemon, whose end ends all in it.
_INIT = """\
import fcntl, os, socket, struct, subprocess, sys
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/docker"], check=True)
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))
os.execvp(sys.argv[2], sys.argv[2:])
"""


def _mongo_files() -> Mapping[str, Path]:
    """mongod 6 is what pip has; the official image's is 8."""
    from mngdb.targets.local import programs

    mongod = Path(programs.find("mongodb", None, None, Path("/nonexistent/cache")).server)
    return {"mongod": mongod, "node_modules": _node_modules(_MONGOSH)}


def _traefik_files() -> Mapping[str, Path]:
    return {"traefik": Path(sys.executable).parent / "traefik"}


def _from_go(name: str) -> Callable[[], Mapping[str, Path]]:
    return lambda: {name: golang.program(name)}


@dataclass(frozen=True)
class Image:
    """An image: a folder of tests/images under the official names, and files beside it."""

    folder: str
    tags: tuple[str, ...]
    files: Callable[[], Mapping[str, Path]] = dict


IMAGES = (
    Image("redis", ("redis:8.4.6-bookworm",)),
    Image("postgres", ("postgres:17.11-bookworm",)),
    Image("mongo", ("mongo:8.0.37",), _mongo_files),
    Image("redis-exporter", ("oliver006/redis_exporter:v1.80.1",)),
    Image("traefik", ("traefik:v3.7.15",), _traefik_files),
    Image(
        "oauth2-proxy",
        ("quay.io/oauth2-proxy/oauth2-proxy:v7.15.3-alpine",),
        _from_go("oauth2-proxy"),
    ),
    Image("redisinsight", ("redis/redisinsight:2.70.1",)),
    Image("postgres-exporter", ("prometheuscommunity/postgres-exporter:v0.18.1",)),
    Image("mongodb-exporter", ("percona/mongodb_exporter:0.43.1",), _from_go("mongodb_exporter")),
)


@dataclass
class Engine:
    """A running daemon. `environ` leads `docker` and mngdb to it."""

    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, compare=False)
    _users: IO[str] | None = field(default=None, compare=False)

    def hold(self) -> None:
        """Say that this process uses it, until `release` or the process's end."""
        self._users = (self.folder / "users").open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def release(self) -> None:
        """The opposite of `hold`."""
        if self._users is not None:
            self._users.close()
            self._users = None

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    @property
    def pid(self) -> int:
        """The daemon's pid, as this machine counts."""
        return int((self.folder / "init.pid").read_text())

    @property
    def environ(self) -> dict[str, str]:
        return {
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(_plugins()),
            "DOCKER_BUILDKIT": "0",
            # one network a stack: no warnings of an old default
            "COMPOSE_ANSI": "never",
        }

    def docker(self, *words: str, check: bool = True, **more: object) -> str:
        """Run `docker`; returns its standard output."""
        done = self.run(*words, **more)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def run(self, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
        """Run `docker`; no check of the exit code."""
        given: dict[str, object] = {"text": True, "capture_output": True, "timeout": 300}
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            ["docker", *words], env={**os.environ, **self.environ}, **(given | more)
        )

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs `argv` in the daemon's network: where containers' addresses
        and published ports are."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *argv]

    def beside(self, container: str, *argv: str) -> list[str]:
        """The command line that runs `argv` in the network of a container."""
        pid = self.docker("inspect", "--format", "{{.State.Pid}}", container).strip()
        # a pid as the daemon counts, in the /proc that the daemon sees
        return ["nsenter", f"--net=/proc/{self.pid}/root/proc/{pid}/ns/net", *argv]

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        for name in ("pid", "docker.sock"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "exec", ignore_errors=True)
        own = self.folder / "etc"
        for path in (own, Path("/etc/docker")):
            path.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"),
                    *("--mount-proc", "--propagation", "private"),
                    *(sys.executable, "-I", "-c", _INIT, str(own), "dockerd"),
                    *("--data-root", str(self.folder / "data"), "-H", f"unix://{self.socket}"),
                    *("--exec-root", str(self.folder / "exec")),
                    *("--pidfile", str(self.folder / "pid"), "--storage-driver", "overlay2"),
                    *("--exec-opt", "native.cgroupdriver=cgroupfs"),
                    *("--cgroup-parent", f"/{self.folder.name}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_TIMEOUT
        while self.run("version").returncode != 0:
            late = self.process.poll() is not None or time.monotonic() > deadline
            assert not late, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.1)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        (self.folder / "init.pid").write_text(children.read_text().split()[0])

    def stop(self, *, cleanly: bool = True) -> None:
        """Stop the daemon and every container: as a shutdown, or as a loss of power."""
        pid = self.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if cleanly else signal.SIGKILL)
        deadline = time.monotonic() + 180
        while _alive(pid):
            assert time.monotonic() < deadline, "dockerd does not stop"
            time.sleep(0.05)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        """Stop the daemon at once and remove what it had."""
        with _locked("runs.lock"):
            self.remove_locked()

    def remove_locked(self) -> None:
        """The same for who has the lock of all runs: what nobody uses is everybody's to remove."""
        if (self.folder / "init.pid").exists():
            self.stop(cleanly=False)
        for group in Path("/sys/fs/cgroup").glob(f"**/{self.folder.name}"):
            for path in sorted(group.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    path.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self.folder)
        self.release()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # it ends while its file is open, too
        return False


def new() -> Engine:
    """A daemon of its own with every image, which are links to the cache's: two seconds' work.
    Ends with `remove`, or when another one is made after this process has died."""
    template = ensure()
    with _locked("runs.lock"):
        for left in _folder("runs").iterdir():
            if _unused(left):
                Engine(left).remove_locked()
        folder = _folder("runs") / f"mngdb-test-{os.getpid()}-{time.monotonic_ns()}"
        (folder / "data").mkdir(parents=True)
        engine = Engine(folder)
        engine.hold()
    for name in ("overlay2", "image"):
        subprocess.run(["cp", "-al", str(template / name), str(folder / "data")], check=True)
    engine.start()
    return engine


@contextlib.contextmanager
def shared(meeting: Path) -> Iterator[Engine]:
    """The one daemon of a test run: whoever is first starts it, whoever is last removes it.
    `meeting` is a folder that the run's processes share."""
    note = meeting / "docker"
    with _locked(str(meeting / "docker.lock")):
        if note.exists():
            engine = Engine(Path(note.read_text()))
            engine.hold()
        else:
            engine = new()
            note.write_text(str(engine.folder))
    try:
        yield engine
    finally:
        with _locked(str(meeting / "docker.lock")), _locked("runs.lock"):
            engine.release()
            if _unused(engine.folder):
                note.unlink()
                engine.remove_locked()
            elif engine.process is not None:
                engine.process.returncode = 0  # whoever is last ends it: nothing to warn of


def _unused(folder: Path) -> bool:
    with (folder / "users").open("a") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    with (_folder() / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- the cache


def ensure() -> Path:
    """The folder with every image, built when its inputs changed."""
    with _locked("lock"):
        _tools()
        _plugins()
        template = _folder() / f"images-{_digest()}"
        if not template.exists():
            _build(template)
        return template


def _build(template: Path) -> None:
    fresh = Path(f"{template}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with ThreadPoolExecutor() as pool:  # side by side: both mostly wait for the network
        base, files = pool.submit(_base), [pool.submit(image.files) for image in IMAGES]
        tar, found = base.result(), [one.result() for one in files]
    engine = Engine(fresh / "engine")
    (engine.folder / "data").mkdir(parents=True)
    engine.start()
    try:
        engine.docker("import", str(tar), "mngdb-test-base", timeout=900)
        for image, extra in zip(IMAGES, found, strict=True):
            context = fresh / image.folder
            shutil.copytree(_HERE / image.folder, context)
            for name, path in extra.items():
                # a copy: the program may be on another file system
                subprocess.run(["cp", "-a", str(path), str(context / name)], check=True)
            tags = [word for tag in image.tags for word in ("-t", tag)]
            engine.docker("build", "--network", "none", *tags, str(context), timeout=900)
    finally:
        engine.stop()
    for old in _folder().glob("images-*"):
        # another clone on this machine may have other images
        if old != fresh and time.time() - old.stat().st_mtime > _KEEP:
            shutil.rmtree(old)
    (engine.folder / "data").rename(template)
    shutil.rmtree(fresh)


def _base() -> Path:
    """A minimal Debian with every server, as a tar file."""
    tar = _folder() / f"base-{_sha(_RELEASE + _PACKAGES)}.tar"
    if not tar.exists():
        fresh = tar.with_suffix(".new")
        options = [f"--dpkgopt=path-exclude=/{path}/*" for path in _LEFT_OUT]
        subprocess.run(
            [
                *("mmdebstrap", "--quiet", "--variant=minbase", "--format=tar"),
                '--aptopt=APT::Install-Recommends "false"',
                *(f"--include={_PACKAGES}", *options, _RELEASE, str(fresh), mirror()),
            ],
            check=True,
        )
        fresh.rename(tar)
    return tar


def _node_modules(package: str) -> Path:
    """A folder with an npm package and all that it needs."""
    folder = _folder() / f"npm-{_sha(package)}"
    if not folder.exists():
        fresh = Path(f"{folder}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        flags = ("--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        subprocess.run(["npm", "install", *flags, package], cwd=fresh, check=True)
        fresh.rename(folder)
    return folder / "node_modules"


def _plugins() -> Path:
    """A folder for DOCKER_CONFIG with Compose v2 in it."""
    folder = _folder() / "config"
    plugin = folder / "cli-plugins/docker-compose"
    if not plugin.exists():
        plugin.parent.mkdir(parents=True, exist_ok=True)
        plugin.symlink_to(
            unpacked("docker-compose") / "usr/libexec/docker/cli-plugins/docker-compose"
        )
    return folder


def _tools() -> None:
    missing = {package for tool, package in _TOOLS.items() if shutil.which(tool) is None}
    if missing:
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(
            ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *sorted(missing)],
            check=True,
            stdout=subprocess.DEVNULL,
            # the last keeps the package from starting a daemon of the machine's own
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"},
        )


def _folder(name: str = "") -> Path:
    folder = cache() / "docker" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest() -> str:
    """Of everything that decides what is in the images."""
    found = [_RELEASE, _PACKAGES, _MONGOSH, *(str((i.folder, i.tags)) for i in IMAGES)]
    for path in sorted(_HERE.rglob("*")):
        if path.is_file():
            found.append(f"{path.relative_to(_HERE)} {path.read_text()}")
    return _sha("\0".join(found))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


if __name__ == "__main__":
    begun = time.monotonic()
    print(ensure(), f"{time.monotonic() - begun:.0f} s")
