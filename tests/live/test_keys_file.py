"""`mngdb keys --rdb` on files that real servers wrote."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.checks.test_redis_checks import Server, started
from tests.conftest import Cli
from tests.live.redis_keys import fill, filled, patterns
from tests.live.scrapes import until

pytestmark = [pytest.mark.live, pytest.mark.redis]


server = filled()


@pytest.fixture(scope="module")
def report(server: Server) -> Any:
    return server.cli.json("keys", "redis")


def test_the_file_of_the_same_keys(server: Server, report: Any) -> None:
    with server.client() as client:
        client.save()
    folder = server.folder
    found = server.cli.json("keys", "--rdb", str(folder / "dump.rdb"))
    # rdb-py leaves streams out, and that is said
    assert found["total"]["count"] == report["total"]["count"] - 1
    assert "1 keys are streams" in found["remarks"][-1]
    live, filed = patterns(report), patterns(found)
    assert set(live) - set(filed) == {"events"}
    for name, one in filed.items():
        assert one["count"] == live[name]["count"]
        assert one["types"] == live[name]["types"]
        assert one["without_expiry"]["count"] == live[name]["without_expiry"]["count"]
        if one["count"] > 100:
            assert one["bytes"] == pytest.approx(live[name]["bytes"], rel=0.1), name
    assert found["total"]["bytes"] == pytest.approx(report["total"]["bytes"], rel=0.05)
    for kind in ("string", "list", "hash", "set", "zset"):
        first, same = (
            next(one["bytes"] for one in made["biggest"] if one["type"] == kind)
            for made in (report, found)
        )
        assert same == pytest.approx(first, rel=0.1)


def test_files_that_are_none(server: Server, tmp_path: Path) -> None:
    with server.client() as client:
        client.save()
    whole = (server.folder / "dump.rdb").read_bytes()
    cases = {"none": None, "text": b"hello", "empty": b"", "half": whole[: len(whole) // 2]}
    for name, content in cases.items():
        path = tmp_path / f"{name}.rdb"
        if content is not None:
            path.write_bytes(content)
        done = server.cli.run("keys", "--rdb", str(path))
        assert done.returncode == 2, (name, done.stderr)
        assert f"{name}.rdb" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def dumps(server: Server) -> dict[str, Path]:
    """A file of keys as they are, and one with values that look like keys."""
    with started(Cli(server.cli.folder), "--save", "") as other, other.client() as client:
        fill(client)
        client.save()
        plain = (other.folder / "dump.rdb").rename(server.cli.folder / "plain.rdb")
        inner = plain.read_bytes()
        rnd = random.Random(3)
        pipe = client.pipeline(transaction=False)
        # of bytes that do not compress, or Redis would
        pipe.config_set("rdbcompression", "no")
        for n in range(3):
            pipe.set(f"backup:{n}", inner[1000:] * 2)
            pipe.set(f"zeros:{n}", b"\0" * 300_000)
        for n in range(15_000):
            pipe.set(f"more:{n}", rnd.randbytes(rnd.randint(1, 60)), ex=9000 if n % 2 else None)
        pipe.execute()
        client.save()
        nested = (other.folder / "dump.rdb").rename(server.cli.folder / "nested.rdb")
    return {"plain": plain, "nested": nested}


@pytest.mark.parametrize(
    ("name", "only", "size"),
    [
        ("plain", None, 50_000),
        ("plain", 3, 150_000),
        ("nested", None, 100_000),
        ("nested", 3, 600_000),
    ],
)
def test_a_file_in_parts_is_the_same_file(
    dumps: dict[str, Path], name: str, only: int | None, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mngdb.engines.redis.keys import file, parts
    from mngdb.facts.keys import Wanted
    from mngdb.ops.keys import file_keys

    dump = dumps[name]

    def read() -> Any:
        report = file_keys(dump, Wanted(database=only), lambda *_: None).as_json()
        del report["seconds"]
        for one in report["biggest"]:
            del one["key"]  # of many that are as big
        return report

    whole = read()
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(file, "_PART", (size, size))
    cut = list(parts.cut(dump, size))
    assert [one.begin for one in cut] == [0, *(one.end for one in cut[:-1])]
    assert all(one.begin < one.end for one in cut)
    tried = [_proved(dump, one) for one in cut]
    # between keys a cut is one, within a value it is seen that it is none
    assert tried.count(True) > 2
    if name == "nested":
        assert tried.count(False) > 0
    else:
        assert all(tried)
        # so it need not be read in one
        monkeypatch.delattr(file, "_in_one")
    assert read() == whole


def _proved(path: Path, part: Any) -> bool:
    from mngdb.engines.redis.keys import parts
    from mngdb.errors import UsageError

    try:
        return parts.read(path, part).proved
    except UsageError:
        return False


def test_ctrl_c_while_a_file_is_read_in_parts(tmp_path: Path) -> None:
    with started(Cli(tmp_path), "--save", "", "--enable-debug-command", "yes") as server:
        with server.client() as client:
            client.execute_command("DEBUG", "POPULATE", 1_500_000, "key", 20)
            client.save()
        process = subprocess.Popen(
            server.cli.argv("keys", "--json", "--rdb", str(server.folder / "dump.rdb")),
            cwd=tmp_path, env=server.cli.environ(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            workers: list[psutil.Process] = []
            while not workers and process.poll() is None:
                workers = psutil.Process(process.pid).children()
            # as a terminal does: all of them get it
            for one in (*workers, psutil.Process(process.pid)):
                one.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130, err
    report = json.loads(out)
    assert report["complete"] is False
    assert report["seen"] < 1_500_000
    assert "Traceback" not in err
    until(lambda: not [one for one in workers if one.is_running()])
