"""A failed test shows no secret of its stack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.hidden import hider

SECRET = "Zq7-hM2x_9LwT4vB8nK1sD6fR3yP5cJ0"
_FAILING = f"""
import subprocess


def failing(env, text):
    print(env)
    assert env == {{}}, text

def test_it():
    secret = "".join({[*SECRET]!r})
    env = {{"A": "x" * 100, "PASSWORD": secret, "URL": f"redis://shop:{{secret[::-1]}}@host:1/0"}}
    failing(env, f"said {{secret}}")

def test_a_mapping():
    secret = "".join({[*SECRET]!r})
    done = subprocess.CompletedProcess(["x" * 150, secret, "y" * 60], 1, secret)
    assert done.returncode == 0
"""


def test_a_failed_test_shows_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "stacks" / "mng" / "secrets"
    folder.mkdir(parents=True)
    (folder / "redis_shop").write_text(SECRET)
    (tmp_path / "test_failing.py").write_text(_FAILING)
    (tmp_path / "pytest.ini").touch()
    argv = [sys.executable, "-m", "pytest", "-p", "tests.hidden", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MNGDB_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        [*argv, "-vv", "--showlocals", "test_failing.py"],
        cwd=tmp_path, env=env, check=False, text=True, capture_output=True,
    )  # fmt: skip
    assert "2 failed" in done.stdout, done.stderr
    assert "(secret)" in done.stdout
    shown = done.stdout + done.stderr
    assert not any(one in shown for one in (SECRET[:6], SECRET[-6:], SECRET[::-1])), "it is shown"


def test_a_secret_whose_middle_is_left_out_is_hidden_too() -> None:
    hide = hider([SECRET])
    assert hide(f"{{'PASSWORD': '{SECRET[:9]}...{SECRET[-5:]}'}}") == (
        "{'PASSWORD': '(secret)...(secret)'}"
    )
    assert hide(f"redis://shop:{SECRET[3:9]}...") == "redis://shop:(secret)..."
    assert hide("http://localhost:9187/metrics, see a...") == (
        "http://localhost:9187/metrics, see a..."
    )
