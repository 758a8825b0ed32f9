"""The door to `docker`, what is taken for ours behind it, and the folder that it mounts."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mngdb.errors import MngdbError, UnobservableError, UsageError
from mngdb.targets.compose import docker
from mngdb.targets.compose.containers import Project
from mngdb.targets.compose.folder import Folder
from mngdb.targets.compose.marks import Marks
from mngdb.targets.compose.notes import Notes
from mngdb.targets.compose.ownership import Ownership


def test_an_engine_that_hangs_is_told_soon_and_not_waited_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, asked = tmp_path / "docker", tmp_path / "asked"
    program.write_text(f"#!/bin/sh\necho >>{asked}\n[ -e {tmp_path}/wake ] || exec sleep 300\n")
    program.chmod(0o755)
    monkeypatch.setattr(docker, "_LOOK", 1.5)
    monkeypatch.setattr(docker, "_AGAIN", 1000)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DOCKER_HOST": "unix:///a/socket"}
    found = docker.Docker(None, environ)
    for _ in range(3):
        with pytest.raises(UnobservableError, match=r"hangs .* \(unix:///a/socket\)") as error:
            found.look("info")
        assert error.value.exit_code == 3
    # the others were told without being asked
    assert asked.read_text().count("\n") == 1
    (tmp_path / "wake").touch()
    monkeypatch.setattr(docker, "_LOOK", 60)
    monkeypatch.setattr(docker, "_AGAIN", 0)
    assert found.look("info").returncode == 0


def test_without_docker_nobody_says_that_it_hangs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="docker is not installed here"):
        docker.Docker(None, {"PATH": str(tmp_path)}).look("info")


class _Page(BaseHTTPRequestHandler):
    """A web server of another kind: it knows none of an engine's addresses."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """No news."""


@pytest.mark.docker
@pytest.mark.parametrize("body", ["", "404 page not found\n", "<html>no</html>", '{"message":""}'])
def test_a_web_server_is_not_taken_for_an_engine_without_containers(body: str) -> None:
    handler = type("Page", (_Page,), {"body": body.encode()})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = docker.Docker(f"tcp://127.0.0.1:{server.server_port}", dict(os.environ))
        for kind in ("container", "volume", "image"):
            with pytest.raises(UnobservableError, match=r"not a Docker engine|docker inspect"):
                found.inspect(kind, "mng-pg")
        server.shutdown()


def test_what_is_set_for_a_project_of_somebodys_own_is_not_for_ours() -> None:
    own = {"COMPOSE_FILE": "a.yaml", "COMPOSE_PROJECT_NAME": "own", "DOCKER_CONTEXT": "far"}
    found = docker.Docker(None, own)
    assert {"COMPOSE_FILE", "COMPOSE_PROJECT_NAME"} & set(found.env) == set()
    assert found.where == "the context far"
    assert docker.Docker("unix:///a", own).where == "unix:///a"  # the stronger one


def _project(tmp_path: Path, root: Path) -> Project:
    engine, notes = docker.Docker(None, {}), Notes(tmp_path / "state")
    owned = Ownership(engine, "mng", "i" * 32, notes, os.environ, root, Marks(engine))
    return Project(engine, "mng", "mng", root, notes, owned)


def test_a_container_is_ours_by_its_label_alone(tmp_path: Path) -> None:
    root, link = tmp_path / "a b", tmp_path / "link"
    root.mkdir()
    link.symlink_to(root)
    project = _project(tmp_path, root)

    def container(folder: Path, name: str = "mng", **more: str) -> dict[str, object]:
        place = {"": name, ".working_dir": str(folder)}
        told = {f"com.docker.compose.project{key}": value for key, value in place.items()}
        return {"Id": "1", "Name": "/mng-pg", "Config": {"Labels": told | more}}

    ours = {"mngdb.id": "i" * 32}
    for folder in (root, link):
        found = container(folder, **ours)
        project.owned.require("container", found)
        assert project.misplaced(found) == ""
    assert "its files are in" in project.misplaced(container(tmp_path, **ours))
    assert "Compose project shop, not mng" in project.misplaced(container(root, "shop", **ours))
    # the right folder and name prove nothing
    with pytest.raises(MngdbError, match="is taken by a container of the Compose project mng in"):
        project.owned.require("container", container(root))
    with pytest.raises(MngdbError, match="is taken by a container of another stack"):
        project.owned.require("container", container(root, **{"mngdb.id": "j" * 32}))


def test_containers_read_folders_that_a_careful_account_made(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Folder(tmp_path, "mng", "i" * 32).public("web/routes/page.yml", "{}")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"web": 0o755, "routes": 0o755, "page.yml": 0o644}


def test_podman_that_calls_itself_docker_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho podman version 5.4.1\n")
    program.chmod(0o755)
    with pytest.raises(UsageError, match="docker is Podman here"):
        docker.Docker(None, {"PATH": f"{tmp_path}:{os.environ['PATH']}"}).need_compose()
