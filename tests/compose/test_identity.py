"""A stack knows itself on a Docker engine too: by its id in labels, a mark in its volumes, and the
engine's own id. A name, a folder or an age proves nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.compose.stacks import ComposeCli
from tests.compose.volumes import keys, put, relabel, unmark, volume
from tests.docker import Engine

pytestmark = pytest.mark.docker
REDIS = 'agent: false\nredis: {memory: 32mb}\napps: {shop: {redis: "shop:*"}}\n'
BOTH = REDIS.replace("apps: {shop: {", "postgres: {memory: 64mb}\napps: {shop: {postgres: shop, ")


@pytest.fixture
def up(stack: ComposeCli) -> ComposeCli:
    """A Redis with a key, in a folder below the test's own."""
    stack.folder = stack.folder / "a"
    stack.folder.mkdir()
    stack.write(REDIS)
    stack.ok("up")
    put(stack, "one")
    return stack


def beside(stack: ComposeCli, name: str) -> ComposeCli:
    """The same command line in another folder beside the stack's."""
    return ComposeCli(stack.folder.with_name(name), stack.docker, stack.name)


def copied(stack: ComposeCli) -> ComposeCli:
    found = beside(stack, "b")
    subprocess.run(["cp", "-a", stack.folder, found.folder], check=True)
    return found


def refusal(stack: ComposeCli, *words: str) -> str:
    done = stack.run(*words)
    assert done.returncode in {1, 2}, done.stdout + done.stderr
    return done.stderr


# --- projects


def test_a_copied_project_neither_uses_nor_destroys_the_originals_volumes(up: ComposeCli) -> None:
    copy = copied(up)
    up.ok("down")
    assert f"is a copy of {up.folder}" in refusal(copy, "destroy", "--yes", up.name)
    assert volume(up) is not None
    assert f"is a copy of {up.folder}" in refusal(copy, "up")
    said = refusal(copy, "up", "--new")
    assert f"{up.unit('redis-data')} is taken by a volume of the stack {up.name} in" in said
    assert volume(up) is not None
    up.ok("up")
    assert keys(up) == {"one"}


def test_a_second_clone_of_the_same_name_touches_nothing(up: ComposeCli) -> None:
    clone = beside(up, "clone")
    clone.folder.mkdir()
    clone.write(REDIS)
    said = refusal(clone, "up")
    unit = up.unit("redis")
    assert f"the name {unit} is taken by a container of the stack {up.name} in {up.folder}" in said
    for words in (("down",), ("destroy", "--yes", up.name)):
        clone.ok(*words)
    assert up.steps() == []
    assert keys(up) == {"one"}


def test_a_folder_that_was_rendered_earlier_makes_no_volume_of_another_clone_ours(
    up: ComposeCli,
) -> None:
    up.ok("down")
    clone = beside(up, "clone")
    clone.folder.mkdir()
    clone.write(REDIS)
    clone.ok("render", "compose")
    up.ok("up")
    up.ok("down")
    assert f"is taken by a volume of the stack {up.name} in {up.folder}" in refusal(clone, "up")
    clone.ok("destroy", "--yes", up.name)
    assert volume(up) is not None


def test_a_renamed_stack_is_refused_and_no_hint_recommends_destroy(up: ComposeCli) -> None:
    file = up.folder / "mngdb.yaml"
    file.write_text(file.read_text().replace(f"name: {up.name}", f"name: {up.name}2"))
    said = refusal(up, "up")
    assert f"the stack of this folder is named '{up.name}'" in said
    assert "destroy" not in said
    up.write(REDIS)
    assert up.steps() == []
    assert keys(up) == {"one"}


def test_a_project_that_moves_while_it_runs_goes_on(up: ComposeCli) -> None:
    moved = beside(up, "moved")
    up.folder.rename(moved.folder)
    assert moved.steps() == []
    moved.ok("status")
    assert moved.json("down")["stopped"] == [up.unit("redis")]
    moved.ok("up")
    assert keys(moved) == {"one"}
    up.folder = moved.folder


def test_releases_behind_a_symlink_cost_nothing(stack: ComposeCli) -> None:
    top = stack.folder
    for name in ("r1", "r2"):
        (top / name).mkdir()
        stack.folder = top / name
        stack.write(REDIS)
    link = top / "current"
    link.symlink_to(top / "r1")
    stack.folder, stack.env["PWD"] = link, str(link)
    stack.ok("up")
    put(stack, "one")
    link.unlink()
    link.symlink_to(top / "r2")
    assert stack.steps() == []
    assert stack.json("down")["stopped"] == [stack.unit("redis")]
    stack.ok("up")
    assert keys(stack) == {"one"}


def test_git_clean_while_it_runs_costs_nothing(up: ComposeCli) -> None:
    git = ["git", "-C", str(up.folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "mngdb.yaml"], check=True)
    state = up.state
    subprocess.run([*git, "clean", "-ffdxq"], check=True)
    assert [path.name for path in up.folder.iterdir() if path.name != ".git"] == ["mngdb.yaml"]
    assert up.steps() == []
    up.ok("status")
    assert up.json("doctor")["cause"] is None
    assert up.json("down")["stopped"] == [up.unit("redis")]
    up.ok("up")
    assert (up.state, keys(up)) == (state, {"one"})
    subprocess.run([*git, "clean", "-ffdxq"], check=True)
    up.ok("destroy", "--yes", up.name)
    assert volume(up) is None
    assert up.docker.docker("ps", "-aq", "--filter", f"name=^{up.name}-") == ""


def test_a_given_folder_that_git_cleans_is_written_anew_and_never_staged(up: ComposeCli) -> None:
    (up.folder / "mngdb.yaml").write_text(
        f"name: {up.name}\ntarget: {{compose: {{folder: compose}}}}\n{REDIS}"
    )
    up.ok("up")
    git, folder = ["git", "-C", str(up.folder)], up.folder / "compose"
    subprocess.run([*git, "init", "-q"], check=True)
    for flags in ("-fdq", "-ffdq"):
        subprocess.run([*git, "add", "mngdb.yaml"], check=True)
        subprocess.run([*git, "clean", flags], check=True)
        subprocess.run([*git, "add", "-A"], check=True)
        listed = subprocess.run([*git, "ls-files"], check=True, capture_output=True, text=True)
        assert listed.stdout.split() == ["mngdb.yaml"]
    assert (folder / "secrets/redis_admin").exists() or any((folder / "secrets").iterdir())
    subprocess.run([*git, "clean", "-ffdxq"], check=True)
    assert not folder.exists()
    details = [step["detail"] for step in up.steps()]
    assert any("the folder that it mounts was removed" in detail for detail in details)
    up.ok("up")
    up.health("redis")
    assert up.steps() == []
    subprocess.run([*git, "clean", "-ffdxq"], check=True)
    assert up.json("down")["stopped"] == [up.unit("redis")]
    assert up.docker.docker("ps", "-aq", "--filter", f"name=^{up.name}-") == ""
    up.ok("up")
    assert keys(up) == {"one"}


# --- volumes


def test_a_volume_without_labels_is_told_refused_and_taken_when_it_is_named(
    up: ComposeCli,
) -> None:
    """Brought from another machine: neither its labels nor this machine's state know it."""
    up.ok("down")
    relabel(up)
    state, unit = up.state, up.unit("redis")
    shutil.rmtree(state)
    shutil.rmtree(up.folder / ".mngdb")
    for words in (("plan",), ("up",)):
        said = refusal(up, *words)
        assert f"not known to belong to the stack '{up.name}': {unit}-data" in said
        assert f"mngdb up --allow {unit}" in said
    assert_told_that_it_stays(up)
    up.ok("up", "--allow", unit)
    assert keys(up) == {"one"}
    assert up.steps() == []
    assert up.json("down")["stopped"] == [unit]
    assert [one["state"] for one in up.run_json("status")["units"]] == ["stopped"]
    up.ok("up")
    assert keys(up) == {"one"}
    up.ok("destroy", "--yes", up.name)
    assert volume(up) is None


def assert_told_that_it_stays(stack: ComposeCli) -> None:
    """What `destroy` says of a volume that nothing tells to be the stack's."""
    done, name = stack.run("destroy", "--yes", stack.name), stack.unit("redis-data")
    assert done.returncode == 0
    assert f"the volume {name} is not known to belong to this stack" in done.stderr
    assert f"docker volume rm {name}" in done.stderr
    assert volume(stack) == {}


def test_destroy_names_a_volume_whose_labels_and_mark_are_gone(up: ComposeCli) -> None:
    up.ok("down")
    relabel(up)
    unmark(up)
    assert_told_that_it_stays(up)
    assert not up.state.exists()
    up.docker.docker("volume", "rm", up.unit("redis-data"))
    assert "volume" not in up.run("destroy", "--yes", up.name).stderr


def test_destroy_removes_a_folder_that_was_only_rendered_and_names_one_of_the_command_line(
    up: ComposeCli,
) -> None:
    one, out = up.folder / "one", up.folder / "out"
    for folder in ("one", "two"):
        (up.folder / "mngdb.yaml").write_text(
            f"name: {up.name}\ntarget: {{compose: {{folder: {folder}}}}}\n{REDIS}"
        )
        up.ok("render", "compose")
    up.ok("render", "compose", "--output", str(out))
    (up.folder / "two/mine.txt").write_text("mine")
    assert any((one / "secrets").iterdir())
    done = up.run("destroy", "--yes", up.name)
    assert (done.returncode, volume(up)) == (0, None)
    assert not one.exists()
    assert [path.name for path in (up.folder / "two").iterdir()] == ["mine.txt"]
    assert (out / "docker-compose.yml").exists()
    assert f"the folder {out}, which 'render compose --output' wrote, is kept" in done.stderr
    assert f"rm -r {out}" in done.stderr


def test_destroy_leaves_a_folder_that_holds_files_of_others(up: ComposeCli) -> None:
    theirs = up.folder / "theirs"
    (theirs / "conf").mkdir(parents=True)
    (theirs / "conf/app.ini").write_text("theirs")
    (up.folder / "mngdb.yaml").write_text(
        f"name: {up.name}\ntarget: {{compose: {{folder: theirs}}}}\n{REDIS}"
    )
    assert "holds files that mngdb did not write" in refusal(up, "up")
    up.ok("destroy", "--yes", up.name)
    assert (theirs / "conf/app.ini").read_text() == "theirs"
    assert volume(up) is None


def test_a_volume_that_was_restored_is_known_by_its_mark(up: ComposeCli) -> None:
    up.ok("down")
    relabel(up)
    up.ok("up")
    assert keys(up) == {"one"}
    up.ok("down")
    unmark(up)
    said = refusal(up, "up")
    assert "not known to belong" in said or "is a different volume now" in said
    up.ok("up", "--allow", up.unit("redis"))
    assert keys(up) == {"one"}


def test_after_compose_down_v_nothing_starts_empty_without_a_word(stack: ComposeCli) -> None:
    stack.write(BOTH)
    stack.ok("up")
    stack.sql("CREATE TABLE kept AS SELECT 1 AS a", "shop")
    stack.compose("down", "-v")
    told = stack.run_json("doctor")
    troubles = [told["cause"], *told["others"]]
    assert {one["cause"] for one in troubles} == {"cannot-start"}
    for what, one in zip(("pg", "redis"), troubles, strict=True):
        assert one["command"].endswith(f"mngdb up --allow {stack.unit(what)}")
    assert "stopped on request" not in json.dumps(told)
    allow = [word for what in ("redis", "pg") for word in ("--allow", stack.unit(what))]
    for words in (("plan",), ("up",)):
        said = refusal(stack, *words)
        for what in ("redis", "pg"):
            name = stack.unit(what)
            assert f"is missing: the volume {name}-data does not exist (last seen " in said
            assert f"mngdb up --allow {name}" in said
    assert {one["state"] for one in stack.run_json("status")["units"]} == {"missing"}
    assert volume(stack) is None
    stack.ok("up", *allow)
    assert stack.steps() == []
    stack.ok("doctor", "shop")
    # who starts it by hand makes the volumes anew: these are not what was there
    stack.compose("down", "-v")
    stack.compose("up", "-d", "--wait")
    for words in (("plan",), ("up",), ("status",)):
        assert f"{stack.unit('pg')}-data is a different volume now" in refusal(stack, *words)
    stack.ok("up", *allow)
    assert stack.steps() == []


# --- engines


def test_another_engine_is_told_before_anything_is_made_or_removed(
    up: ComposeCli, machine: Engine
) -> None:
    first = up.docker

    def lead(engine: Engine) -> None:
        up.docker, up.env = engine, dict(engine.environ)

    lead(machine)
    for words in (("plan",), ("up",), ("down",), ("status",), ("destroy", "--yes", up.name)):
        said = refusal(up, *words)
        assert f"is not the one that the stack '{up.name}' was created on" in said, words
        assert first.environ["DOCKER_HOST"] in said
        assert "mngdb up --allow engine" in said
    assert (up.state / "secrets/redis_admin").exists()
    assert machine.docker("ps", "-aq") + machine.docker("volume", "ls", "-q") == ""
    lead(first)
    assert up.steps() == []
    # reinstalled: that the data is not there has to be said, too
    lead(machine)
    assert "is missing: the volume" in refusal(up, "up", "--allow", "engine")
    up.ok("up", "--allow", up.unit("redis"))
    assert keys(up) == set()
    lead(first)
    assert "was created on" in refusal(up, "up")
    up.ok("up", "--allow", "engine")
    assert keys(up) == {"one"}


def assert_unknown(stack: ComposeCli, why: str) -> None:
    """What `alerts` and `doctor` say of servers that cannot be looked at for one reason."""
    # side by side: each waits for an engine that hangs
    with ThreadPoolExecutor() as pool:
        told = pool.submit(stack.run, "alerts")
        alerts, doctor = (pool.submit(stack.run_json, word) for word in ("alerts", "doctor"))
    done, look, found = told.result(), alerts.result(), doctor.result()
    assert (done.returncode, done.stdout) == (
        3,
        "no active alerts among the rules that could be evaluated\n",
    )
    assert done.stderr.count("the state of postgres, redis is unknown") == 1
    ((said, instances),) = look["unreachable"].items()
    assert (why in said, instances, look["alerts"]) == (True, ["postgres", "redis"], [])
    assert {"PostgresDown", "RedisDown"} <= set(look["unknown"])
    assert (found["cause"]["cause"], found["others"]) == ("unreachable", [])
    assert why in found["cause"]["text"]
    assert sorted(found["cause"]["instances"]) == ["postgres", "redis"]


def test_on_another_engine_or_behind_one_that_hangs_servers_are_unknown_not_down(
    stack: ComposeCli, docker: Engine, machine: Engine
) -> None:
    stack.docker, stack.env = machine, dict(machine.environ)
    stack.write(BOTH)
    stack.ok("up")
    stack.env = dict(docker.environ)
    assert_unknown(stack, "the Docker engine is not the one")
    stack.env = dict(machine.environ)
    os.kill(machine.pid, signal.SIGSTOP)
    try:
        assert_unknown(stack, "the Docker engine hangs")
    finally:
        os.kill(machine.pid, signal.SIGCONT)
    stack.ok("doctor")
    stack.ok("destroy", "--yes", stack.name)


def test_an_engine_whose_id_changed_is_known_by_the_stacks_volumes(up: ComposeCli) -> None:
    up.ok("down")
    path = up.state / "compose/engine.json"
    noted = json.loads(path.read_text())
    path.write_text(json.dumps({**noted, "engine": "another"}))
    assert {step["action"] for step in up.steps()} == {"start"}
    up.ok("up")
    assert keys(up) == {"one"}
    assert json.loads(path.read_text())["engine"] == noted["engine"]


# --- the version before


def as_before(stack: ComposeCli) -> Path:
    """Make of a running stack what the version before would have: no ids, its state and rendered
    folder in the project. Returns the folder."""
    folder, state = stack.folder / "compose", stack.folder / ".mngdb"
    (stack.folder / "mngdb.yaml").write_text(
        f"name: {stack.name}\ntarget: {{compose: {{folder: compose}}}}\n{REDIS}"
    )
    stack.ok("up")
    stack.ok("down")
    own = {"stack": stack.name, "unit": stack.unit("redis"), "instance": "redis", "engine": "redis"}
    labels = {f"mngdb.{key}": value for key, value in own.items()}
    relabel(stack, **labels, **{"com.docker.compose.project": stack.name})
    unmark(stack)
    file = folder / "docker-compose.yml"
    head, document = file.read_text().partition("\n")[0], yaml.safe_load(file.read_text())
    for kind in ("services", "networks", "volumes"):
        for one in document[kind].values():
            one["labels"].pop("mngdb.id")
    file.write_text(f"{head}\n{yaml.safe_dump(document)}")
    moved = stack.state
    shutil.rmtree(state)
    shutil.move(moved, state)
    for name in ("stack.json", "compose/engine.json"):
        (state / name).unlink()
    shutil.rmtree(state / "compose/units")
    note = {"folder": str(folder), "project": stack.name, "docker_host": None}
    (state / "compose/project.json").write_text(json.dumps(note))
    stack.docker.docker("compose", "up", "-d", "--wait", cwd=folder)
    stack.write(REDIS)
    return folder


def test_a_stack_of_the_version_before_is_taken_along_and_its_old_folder_goes(
    up: ComposeCli,
) -> None:
    folder = as_before(up)
    (folder / "mine.txt").write_text("mine")
    copy = copied(up)
    assert "mngdb.id" not in (volume(up) or {})
    up.ok("status")
    restart = next(one for one in up.steps() if one["action"] == "restart")
    assert "its files are in" in restart["detail"]
    up.ok("up")
    assert keys(up) == {"one"}
    assert up.steps() == []
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert (up.rendered / "secrets").is_dir()
    # a copy of the project as it was gets nothing of it
    assert "is taken by a" in refusal(copy, "up")
    copy.ok("destroy", "--yes", up.name)
    assert keys(up) == {"one"}
    assert up.json("down")["stopped"] == [up.unit("redis")]
    up.ok("up")
    assert keys(up) == {"one"}
    up.ok("destroy", "--yes", up.name)
    assert volume(up) is None
