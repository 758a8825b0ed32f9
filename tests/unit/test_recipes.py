"""What a contributor runs: a part of the tests sets up no more than that part needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

_STUB = '#!/bin/sh\necho "$(basename "$0") $*" >>"$STUBS"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """`scripts/test` among programs that only note their calls."""
    for name in ("setup-venv", "setup-test-machine", "in-memory"):
        path = tmp_path / "scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_STUB)
        path.chmod(0o755)
    shutil.copy(ROOT / "scripts/test", tmp_path / "scripts/test")
    return tmp_path


def called(clone: Path, *arguments: str) -> list[str]:
    notes = clone / "notes"
    notes.unlink(missing_ok=True)
    env = {"PATH": "/usr/bin:/bin", "STUBS": str(notes)}
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


#: A test run that fails, and the one after it that ends as told.
_FAILS = """#!/bin/sh
echo "$*" >>"$STUBS"
[ "$(grep -c . "$STUBS")" = 1 ] || exit %d
mkdir -p .pytest_cache/v/cache
cat >.pytest_cache/v/cache/lastfailed <<'END'
{
  "tests/b/test_two.py::test_parameters[\\"tests/c/test_no.py]": true,
  "tests/a/test_one.py::test_x": true,
  "tests/a/test_one.py::test_y": true
}
END
exit 1
"""


@pytest.mark.parametrize("again", [0, 1])
def test_the_files_of_what_failed_run_once_more_whole(clone: Path, again: int) -> None:
    (clone / "scripts/setup-venv").write_text("#!/bin/sh\n")
    (clone / "scripts/setup-test-machine").write_text("#!/bin/sh\n")
    (clone / "scripts/in-memory").write_text(_FAILS % again)
    env = {"PATH": "/usr/bin:/bin", "STUBS": str(clone / "notes")}
    done = subprocess.run([clone / "scripts/test"], env=env, text=True, capture_output=True)
    assert done.returncode == again
    _, second = (clone / "notes").read_text().splitlines()
    files = "tests/a/test_one.py tests/b/test_two.py"
    assert second.endswith(f" {files}")
    assert files in done.stdout  # and it is told


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


CI = [".github/workflows/ci.yml", ".gitlab-ci.yml", ".pre-commit-config.yaml", "CONTRIBUTING.md"]


@pytest.mark.parametrize("file", CI)
def test_what_ci_hooks_and_the_guide_call_is_there(file: str) -> None:
    just = Path(sys.executable).with_name("just")
    summary = subprocess.run([just, "--summary"], cwd=ROOT, text=True, capture_output=True)
    text = (ROOT / file).read_text()
    recipes = set(re.findall(r"\bjust ([a-z][\w-]*)", text)) - {"is"}
    scripts = set(re.findall(r"(?:^|[ `])((?:scripts|\.ci)/[\w-]+)", text, re.MULTILINE))
    assert recipes <= set(summary.stdout.split())
    assert recipes | scripts
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)


@pytest.mark.parametrize("file", CI[:3])
def test_ci_runs_nothing_else(file: str) -> None:
    def commands(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key in {"run", "script", "entry"}:
                    yield from [value] if isinstance(value, str) else value
                else:
                    yield from commands(value)
        elif isinstance(node, list):
            for one in node:
                yield from commands(one)

    found = list(commands(yaml.safe_load((ROOT / file).read_text())))
    assert found
    for command in found:
        assert re.fullmatch(r"(\.venv/bin/just|scripts/|\.ci/)[\w -]*", command), command
