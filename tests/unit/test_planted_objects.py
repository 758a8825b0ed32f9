"""What others who may write to a store put there: it is bounded, named, and run by nobody."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tracemalloc
from pathlib import Path

from mngdb.ops.backup import place
from mngdb.ops.context import Context
from mngdb.stores import catalog
from tests.conftest import Cli
from tests.unit.backups import backed_up

GUIDE = Path(catalog.__file__).with_name("RESTORE.md").read_text()


def instance(context: Context, store: Path) -> Path:
    """Where the snapshots of its Redis are."""
    return store / "mngdb-1" / context.located.record.id / "redis"


def block(text: str) -> str:
    """The commands of the guide in which this stands."""
    found: list[str] = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    return next(one for one in found if text in one)


def test_a_manifest_that_is_far_too_large_is_named_and_not_read(cli: Cli, tmp_path: Path) -> None:
    context = backed_up(cli, tmp_path / "store")
    for number in range(8):
        folder = instance(context, tmp_path / "store") / f"2026010{number}T000000Z-aaaaaa"
        folder.mkdir()
        (folder / "manifest.json").touch()
        os.truncate(folder / "manifest.json", 127 << 20)
    tracemalloc.start()
    found, damages = place.catalog(context).snapshots("redis")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(found), len(damages)) == (1, 8)
    assert all("manifest.json is damaged: no manifest is so large" in one.text for one in damages)
    assert peak < 60 << 20


def test_no_name_of_somebody_else_is_offered_as_a_command(cli: Cli, tmp_path: Path) -> None:
    context = backed_up(cli, tmp_path / "store")
    theirs = instance(context, tmp_path / "store").with_name("x$(id)") / "20260101T000000Z-aaaaaa"
    theirs.mkdir(parents=True)
    (theirs / "manifest.json").write_text("{}")
    assert "--from" not in cli.run("backups").stderr


def test_the_guide_evaluates_no_name_of_a_segment(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    (log / "a[$(touch ran)].zst.age").touch()
    script = block("for segment").replace("/path/to/out", shlex.quote(str(tmp_path / "out")))
    script = script.replace("STACK/INSTANCE.log/BRANCH", shlex.quote(str(log)))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert "not a segment" in done.stderr
    assert not list((tmp_path / "out" / "log").iterdir())


def test_the_guide_finds_an_object_that_the_manifest_does_not_have(
    cli: Cli, tmp_path: Path
) -> None:
    context = backed_up(cli, tmp_path / "store")
    (snapshot,) = instance(context, tmp_path / "store").iterdir()
    (part,) = snapshot.glob("*.zst.age")
    script = block("stored_sha256").partition("\ncd ../../../..")[0]
    script = script.replace("STACK/INSTANCE/SNAPSHOT", shlex.quote(str(snapshot)))
    secret = shlex.quote(str(context.stack.state / "secrets" / "backup_mac"))
    argv = ["sh", "-c", script.replace("/path/to/backup_mac", secret)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    lines = done.stdout.split()
    assert (lines[::2], lines[3]) == (lines[1::2], "1")
    (snapshot / part.name.replace("000000", "000001")).touch()
    part.write_bytes(part.read_bytes() + b"x")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout.split()[2:4] == ["2", "1"]
    assert f"{part.name}: FAILED" in done.stdout
