"""Stacks on the run's Docker engine."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.stacks import ComposeCli
from tests.conftest import ROOT
from tests.docker import Engine, new

EXAMPLE = (ROOT / "examples/mng-db/mngdb.yaml").read_text()


def _stack(docker: Engine, folder: Path) -> Iterator[ComposeCli]:
    # containers are known by their names to the whole engine
    found = ComposeCli(folder, docker, f"t{secrets.token_hex(3)}")
    try:
        yield found
    finally:
        if found.state.exists():
            found.ok("destroy", "--yes", found.name)
        names = docker.docker("ps", "-aq", "--filter", f"name=^{found.name}-").split()
        assert not names, "containers are left"
        images = docker.docker("images", "-q", "--filter", f"label=mngdb.built-for={found.name}")
        assert not images, "images are left"
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def stack(docker: Engine, tmp_path: Path) -> Iterator[ComposeCli]:
    """A folder for a stack of its own, destroyed at the end."""
    yield from _stack(docker, tmp_path)


@pytest.fixture(scope="module")
def module_stack(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeCli]:
    """As `stack`, for tests that only look."""
    yield from _stack(docker, tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="module")
def machine() -> Iterator[Engine]:
    """An engine of one module's own: it may be stopped, and nobody else has names there."""
    engine = new()
    yield engine
    engine.remove()
