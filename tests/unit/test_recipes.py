"""What a contributor runs: a part of the tests sets up no more than that part needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

_STUB = '#!/bin/sh\necho "$(basename "$0") $*" >>"$STUBS"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """`scripts/test` among programs that only note their calls."""
    for name in (".venv/bin/python", "scripts/setup-test-machine", "scripts/in-memory", "python"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_STUB)
        path.chmod(0o755)
    shutil.copy(ROOT / "scripts/test", tmp_path / "scripts/test")
    return tmp_path


def called(clone: Path, *arguments: str) -> list[str]:
    notes = clone / "notes"
    notes.unlink(missing_ok=True)
    env = {"PATH": "/usr/bin:/bin", "STUBS": str(notes), "PYTHON": str(clone / "python")}
    subprocess.run([clone / "scripts/test", *arguments], env=env, check=True)
    return notes.read_text().splitlines()


def test_one_file_builds_no_images(clone: Path) -> None:
    *before, last = called(clone, "-q", "tests/unit/test_names.py")
    assert last.endswith("-m pytest -q tests/unit/test_names.py")
    assert not any("setup-test-machine" in line for line in before)


def test_all_tests_are_set_up_for(clone: Path) -> None:
    lines = called(clone)
    (setup,) = (number for number, line in enumerate(lines) if "setup-test-machine" in line)
    (tests,) = (number for number, line in enumerate(lines) if "-m pytest" in line)
    assert setup < tests


@pytest.mark.parametrize("engine", ["postgres", "redis", "mongodb"])
def test_an_engine_is_chosen_by_the_name_of_file_or_test(engine: str) -> None:
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", engine]
    argv += ["tests/live/test_mongodb_apps.py", "tests/live/test_redis_apps.py"]
    argv += ["tests/live/test_prepared.py", "tests/live/test_faults_lock.py"]
    done = subprocess.run(argv, cwd=ROOT, text=True, capture_output=True, check=False)
    files = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    whole = {"postgres": "prepared", "redis": "redis_apps", "mongodb": "mongodb_apps"}
    assert f"tests/live/test_{whole[engine]}.py" in files
    assert not files & {
        f"tests/live/test_{name}.py" for name in whole.values() if name != whole[engine]
    }
