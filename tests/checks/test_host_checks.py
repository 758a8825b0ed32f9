"""Each check of the machine on what makes it pass and on what makes it fail: real processes, files,
mounts."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mngdb.checks import host
from mngdb.errors import UnobservableError
from mngdb.facts.host import MachineFacts, Process, ServerFacts
from mngdb.findings import Check, Finding, Seen, see
from mngdb.ops.context import Context
from mngdb.spec.load import load
from mngdb.spec.stack import Instance, Stack
from mngdb.targets.local import inspect
from mngdb.targets.local.runner import LocalRunner
from mngdb.targets.process import boot
from tests.checks.judge import opened
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

CHECKS: tuple[Check[Any], ...] = (*host.SERVER, *host.MACHINE)
IDS = [check.id for check in CHECKS if not check.on_request]
stack = brought_up(
    "redis: {port: PORT1}\npostgres: {port: PORT2}\nmongodb: {port: PORT3, version: 6}\n"
    "apps: {shop: {redis: 'shop:*', postgres: shop, mongodb: shop}}\n"
)


def look(context: Context, instance: Instance) -> ServerFacts:
    """What is judged of a server."""
    return inspect.server(LocalRunner.of(context.stack), instance)


@pytest.fixture(scope="module")
def good(stack: Cli) -> dict[tuple[str, str], Any]:
    found = stack.json("check", "--only", "host.*")["findings"]
    return {(one["id"], one["instance"]): one for one in found}


@pytest.fixture(scope="module")
def redis(stack: Cli) -> ServerFacts:
    context = opened(stack)
    return look(context, context.instance("redis"))


def judged(name: str, facts: ServerFacts | MachineFacts) -> Finding:
    (check,) = [one for one in CHECKS if one.id == name]
    return check.finding(facts, "x")


def asking(folder: Path, text: str) -> Stack:
    """A stack that is only read."""
    (folder / "asking.yaml").write_text(text)
    return load([folder / "asking.yaml"], {})


@contextmanager
def process(*argv: str, **more: Any) -> Iterator[int]:
    with subprocess.Popen(argv or ["sleep", "60"], **more) as child:
        try:
            yield child.pid
        finally:
            child.kill()


def of(facts: ServerFacts, pid: int) -> ServerFacts:
    return replace(facts, process=Seen(inspect.process(pid)))


@pytest.mark.parametrize("instance", ["redis", "postgres", "mongodb", ""])
def test_it_passes_on_a_stack_of_ours(good: dict[tuple[str, str], Any], instance: str) -> None:
    of_servers = {check.id for check in host.SERVER}
    wanted = set(IDS) - of_servers if instance == "" else of_servers
    found = {name: one for (name, where), one in good.items() if where == instance}
    assert set(found) == wanted
    if instance == "":  # nobody enabled it, and what would start it is the machine's own business
        boots = found.pop("host.boot")["verdict"]
        assert boots == ("fail" if boot.can() else "not_applicable")
    bad = {n: one for n, one in found.items() if one["verdict"] not in {"pass", "not_applicable"}}
    assert not bad
    apart = {name for name, one in found.items() if one["verdict"] == "not_applicable"}
    assert apart <= {"host.inodes-free", "host.huge-pages"}
    assert "host.huge-pages" not in apart or instance == "postgres"


def test_there_are_enough_and_none_twice() -> None:
    assert len(IDS) == len(set(IDS)) >= 18


@pytest.mark.root
@pytest.mark.parametrize("name", ["host.account", "host.capabilities"])
def test_a_server_as_root(redis: ServerFacts, name: str) -> None:
    assert judged(name, redis).verdict == "pass"
    with process() as pid:
        assert judged(name, of(redis, pid)).verdict == "fail"


@pytest.mark.parametrize(
    ("name", "limit"),
    [("host.open-files", resource.RLIMIT_NOFILE), ("host.processes", resource.RLIMIT_NPROC)],
)
def test_a_limit_that_is_too_low(redis: ServerFacts, name: str, limit: int) -> None:
    with process() as pid:
        hard = resource.prlimit(pid, limit)[1]
        resource.prlimit(pid, limit, (100, hard))
        found = judged(name, of(redis, pid))
        assert (found.verdict, "100" in found.evidence) == ("fail", True)
        resource.prlimit(pid, limit, (hard, hard))
        assert judged(name, of(redis, pid)).verdict == "pass"


def test_more_clients_need_more_files(stack: Cli, redis: ServerFacts) -> None:
    assert judged("host.open-files", replace(redis, files=10**6)).verdict == "fail"
    context = opened(stack)
    mongodb = look(context, context.instance("mongodb"))
    assert judged("host.open-files", mongodb).verdict == "pass"
    low = replace(mongodb.process.value, open_files=4096)
    assert judged("host.open-files", replace(mongodb, process=Seen(low))).verdict == "fail"


def test_a_core_dump(redis: ServerFacts) -> None:
    with process() as pid:
        hard = resource.prlimit(pid, resource.RLIMIT_CORE)[1]
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, hard))
        assert judged("host.core-dumps", of(redis, pid)).verdict == "pass"
        resource.prlimit(pid, resource.RLIMIT_CORE, (hard, hard))
        wanted = "fail" if hard else "pass"
        assert judged("host.core-dumps", of(redis, pid)).verdict == wanted
    dumping = replace(redis.process.value, core=1 << 62)
    assert judged("host.core-dumps", replace(redis, process=Seen(dumping))).verdict == "fail"


def test_a_victim_of_the_kernel(redis: ServerFacts) -> None:
    with process() as pid:
        Path(f"/proc/{pid}/oom_score_adj").write_text("500")
        found = judged("host.oom-victim", of(redis, pid))
    assert (found.verdict, found.evidence) == ("fail", "oom_score_adj 500")


def test_huge_pages_where_the_machine_gives_them_to_all(
    stack: Cli, redis: ServerFacts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "enabled").write_text("[always] madvise never\n")
    monkeypatch.setattr(inspect, "_HUGE_PAGES", tmp_path / "enabled")
    context = opened(stack)
    for name in ("redis", "mongodb"):
        of_ours = look(context, context.instance(name))
        assert judged("host.huge-pages", of_ours).verdict == "pass", name
    with process() as pid:
        assert judged("host.huge-pages", of(redis, pid)).verdict == "fail"


def swapped_out(pid: int, folder: Path) -> Path:
    """What /proc would say of a process of which 5 MB are in swap."""
    own = folder / str(pid)
    (own / "task").mkdir(parents=True)
    for name in ("status", "limits", "cgroup", "oom_score_adj"):
        (own / name).write_text(Path(f"/proc/{pid}/{name}").read_text())
    text = (own / "status").read_text()
    assert "VmSwap:\t       0 kB" in text
    (own / "status").write_text(text.replace("VmSwap:\t       0 kB", "VmSwap:\t    5120 kB"))
    (own / "exe").symlink_to(Path(f"/proc/{pid}/exe").readlink())
    return folder


def test_a_server_in_swap(redis: ServerFacts, tmp_path: Path) -> None:
    with process() as pid:
        assert judged("host.swap", of(redis, pid)).verdict == "pass"
        there: Seen[Process] = see(lambda: inspect.process(pid, swapped_out(pid, tmp_path)))
        found = judged("host.swap", replace(redis, process=there))
    assert (found.verdict, found.evidence) == ("fail", "5 MB in swap")


def test_a_program_that_was_replaced(redis: ServerFacts, tmp_path: Path) -> None:
    program = tmp_path / "server"
    shutil.copy(shutil.which("sleep") or "", program)
    with process(str(program), "60") as pid:
        assert judged("host.program-current", of(redis, pid)).verdict == "pass"
        shutil.copy(program, tmp_path / "new")
        (tmp_path / "new").replace(program)
        found = judged("host.program-current", of(redis, pid))
    assert (found.verdict, found.evidence) == ("fail", f"{program} was replaced")


def test_a_socket_that_the_file_does_not_name(redis: ServerFacts) -> None:
    code = "import socket,time; s=socket.socket(); s.bind(('',0)); s.listen(); print(flush=True); time.sleep(60)"  # noqa: E501
    with process(sys.executable, "-c", code, stdout=subprocess.PIPE) as pid:
        end = time.monotonic() + 60
        while not (facts := of(redis, pid)).process.value.listening:
            assert time.monotonic() < end
            time.sleep(0.01)
        found = judged("host.listening", facts)
        assert (found.verdict, found.evidence) == ("fail", "0.0.0.0")
        assert judged("host.listening", replace(facts, bind=("0.0.0.0",))).verdict == "pass"


def test_a_backlog_that_the_kernel_cuts(redis: ServerFacts, stack: Cli, tmp_path: Path) -> None:
    context = opened(stack)
    wide = asking(tmp_path, "redis: {settings: {tcp-backlog: 2000000}}\n").instances["redis"]
    assert judged("host.backlog", look(context, wide)).verdict == "fail"


def test_data_that_others_can_read(redis: ServerFacts, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    own = replace(redis, data=Seen(inspect.data_folder(tmp_path)), uid=os.geteuid())
    assert judged("host.data-private", own).verdict == "pass"
    assert judged("host.data-private", replace(own, uid=54321)).verdict == "fail"
    tmp_path.chmod(0o750)
    open_ = replace(own, data=Seen(inspect.data_folder(tmp_path)))
    assert judged("host.data-private", open_).verdict == "fail"
    assert judged("host.data-private", replace(open_, engine="postgres")).verdict == "pass"
    tmp_path.chmod(0o700)


def test_data_in_memory(redis: ServerFacts) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        there = replace(redis, data=Seen(inspect.data_folder(Path(folder))))
    found = judged("host.data-filesystem", there)
    assert found.verdict == "fail"
    assert "is on tmpfs" in found.evidence


@pytest.mark.root
def test_a_full_disk(redis: ServerFacts, tmp_path: Path) -> None:
    disk = tmp_path / "a disk"
    disk.mkdir()
    options = ["-o", "size=1m,nr_inodes=20", "tmpfs", str(disk)]
    subprocess.run(["mount", "-t", "tmpfs", *options], check=True)
    try:
        empty = replace(redis, data=Seen(inspect.data_folder(disk)))
        (disk / "file").write_bytes(b"x" * 900_000)
        for number in range(17):
            (disk / str(number)).touch()
        full = replace(redis, data=Seen(inspect.data_folder(disk)))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    for name in ("host.disk-free", "host.inodes-free"):
        assert judged(name, empty).verdict == "pass"
        assert judged(name, full).verdict == "fail"


def test_files_that_others_can_read(stack: Cli) -> None:
    context = opened(stack)
    instance = context.instance("redis")
    folder = LocalRunner.of(context.stack).layout.unit(instance.unit)
    for path in (folder.log, folder.conf / "redis.conf", folder.run):
        before = path.stat().st_mode & 0o7777
        path.chmod(before | 0o044)
        found = judged("host.files-private", look(context, instance))
        path.chmod(before)
        assert found.verdict == "fail"
        assert str(path) in found.evidence


def test_servers_that_ask_for_more_than_there_is(tmp_path: Path) -> None:
    greedy = asking(tmp_path, "redis: {memory: 60%}\npostgres: {memory: 50%}\n")
    assert judged("host.memory-fits", inspect.machine_facts(greedy)).verdict == "fail"
    modest = asking(tmp_path, "redis: {memory: 60%}\npostgres: {memory: 20%}\n")
    assert judged("host.memory-fits", inspect.machine_facts(modest)).verdict == "pass"


def of_proc(folder: Path, overcommit: int, **kb: int) -> Path:
    """This machine's /proc, as far as it is read, with other figures."""
    (folder / "sys/vm").mkdir(parents=True, exist_ok=True)
    (folder / "sys/vm/overcommit_memory").write_text(f"{overcommit}\n")
    lines = Path("/proc/meminfo").read_text().splitlines()
    told = {line.split(":")[0]: line for line in lines}
    told |= {name: f"{name}: {value} kB" for name, value in kb.items()}
    (folder / "meminfo").write_text("\n".join(told.values()) + "\n")
    return folder


def test_no_memory_left(tmp_path: Path) -> None:
    asked = asking(tmp_path, "redis: {}\n")
    short = inspect.machine_facts(asked, of_proc(tmp_path, 0, MemAvailable=2000))
    assert judged("host.memory-left", short).verdict == "fail"
    assert judged("host.memory-left", inspect.machine_facts(asked)).verdict == "pass"


@pytest.mark.parametrize(
    ("overcommit", "memory", "verdict"),
    [(0, "100mb", "pass"), (0, "4000gb", "fail"), (1, "4000gb", "pass"),
     (2, "100mb", "pass"), (2, "3gb", "fail")],
)  # fmt: skip
def test_a_fork_that_the_kernel_refuses(
    tmp_path: Path, overcommit: int, memory: str, verdict: str
) -> None:
    asked = asking(tmp_path, f"redis: {{memory: {memory}}}\n")
    proc = of_proc(tmp_path, overcommit, CommitLimit=3 << 20, Committed_AS=1 << 20)
    assert judged("host.fork", inspect.machine_facts(asked, proc)).verdict == verdict


def test_no_redis_needs_no_fork(tmp_path: Path) -> None:
    facts = inspect.machine_facts(asking(tmp_path, "postgres: {}\n"))
    assert judged("host.fork", facts).verdict == "not_applicable"


def test_a_server_that_does_not_run_is_unknown(cli: Cli) -> None:
    cli.write("redis: {port: PORT1}\n")
    done = cli.run("check", "--only", "host.*")
    assert done.returncode == 3
    assert "mng-redis is not running" in done.stdout
    with pytest.raises(UnobservableError):
        inspect.process(2**22 + 1)


def test_servers_of_somebody_else_are_not_judged(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write('redis: {target: {external: {url: "redis://admin@127.0.0.1:1"}}}\n')
    report = cli.json("check", "--only", "host.*", "--only", "secrets.*")
    assert set(report["summary"]) == {"pass", "fail", "unknown", "not_applicable"}
    assert report["summary"]["not_applicable"] == len(report["findings"]) >= 35
