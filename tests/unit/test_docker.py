"""The door to `docker`: what it says of an engine that does not answer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mngdb.errors import UnobservableError, UsageError
from mngdb.targets.compose import docker


def test_an_engine_that_hangs_is_told_soon_and_not_waited_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, asked = tmp_path / "docker", tmp_path / "asked"
    program.write_text(f"#!/bin/sh\necho >>{asked}\n[ -e {tmp_path}/wake ] || exec sleep 30\n")
    program.chmod(0o755)
    monkeypatch.setattr(docker, "_LOOK", 0.3)
    monkeypatch.setattr(docker, "_AGAIN", 0.5)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DOCKER_HOST": "unix:///a/socket"}
    found = docker.Docker(None, environ)
    begun = time.monotonic()
    for _ in range(3):
        with pytest.raises(UnobservableError, match=r"hangs: .* \(unix:///a/socket\)") as error:
            found.look("info")
        assert error.value.exit_code == 3
    assert time.monotonic() - begun < 2
    assert asked.read_text().count("\n") == 1
    (tmp_path / "wake").touch()
    time.sleep(0.6)
    assert found.look("info").returncode == 0


def test_without_docker_nobody_says_that_it_hangs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="docker is not installed here"):
        docker.Docker(None, {"PATH": str(tmp_path)}).look("info")
