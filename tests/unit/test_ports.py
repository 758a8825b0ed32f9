"""`port: auto`: which ports that are, what is chosen, and what another stack remembers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from mngdb.errors import MngdbError
from mngdb.ops.ports import opened, settled
from mngdb.spec.ports import filled, open_ports
from mngdb.spec.stack import Stack
from mngdb.targets.process.machine import is_free
from tests.conftest import free_port
from tests.unit.spec import refused, stack

FILE = """
redis: {port: auto}
instances: {queue: {engine: redis, port: auto}, fixed: {engine: redis, port: 6380}}
agent: {ports: {redis: auto}}
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"MNGDB_STATE_HOME": str(tmp_path)}


def made(tmp_path: Path, text: str, name: str = "a") -> Stack:
    """The stack of a file, with a state folder that other stacks find."""
    state = tmp_path / "stacks" / f"{name}-0000000{len(name)}"
    state.mkdir(parents=True)
    record = dict.fromkeys(("id", "name", "project", "file", "inode", "created"), name)
    (state / "stack.json").write_text(json.dumps(record))
    return replace(stack(text), state=state)


@pytest.fixture
def busy() -> Iterator[int]:
    """A port that a process of nobody's stack has; the one after it is free."""
    with ExitStack() as held:
        while True:
            port = free_port()
            taken = held.enter_context(closing(socket.socket()))
            taken.bind(("127.0.0.1", port))
            taken.listen()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port + 1)) != 0:
                    yield port
                    return


def starting_at(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Every choice begins at this port, whatever this machine runs at the usual ones."""
    monkeypatch.setattr(
        "mngdb.ops.ports.open_ports",
        lambda stack: [replace(one, first=port) for one in open_ports(stack)],
    )


def test_everything_else_sees_numbers() -> None:
    found = filled(stack(FILE), {"redis": 7000, "queue": 7001, "agent.redis": 7002})
    assert [one.spec.port for one in found.instances.values()] == [7000, 7001, 6380]
    assert found.agent is not None
    assert found.agent.ports.redis == 7002


def test_ports_of_the_agent_are_chosen_where_the_file_names_none() -> None:
    for text in ("", "agent: {ports: auto}", "agent: {restart: false}"):
        found = open_ports(stack(f"redis: {{}}\n{text}"))
        assert {one.name: one.first for one in found} == {
            "agent.redis": 9121,
            "agent.mngdb": 9321,
        }
    (one,) = open_ports(stack("redis: {}\nagent: {ports: {redis: 9121}}"))
    assert one.name == "agent.mngdb"
    assert open_ports(stack("redis: {}\nagent: false")) == []


def test_a_server_on_a_usual_port_of_the_agent_is_no_obstacle(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    found = opened(made(tmp_path, "redis: {port: 9121}"), environ).agent
    assert found is not None
    assert found.ports.redis > 9121


def test_a_container_has_the_usual_port_and_is_published_on_a_free_one(
    tmp_path: Path, environ: dict[str, str], busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting_at(monkeypatch, busy)
    text = "target: {compose: {publish: {redis: auto}}}\nredis: {port: auto}\nagent: false"
    found = opened(made(tmp_path, text), environ).instances["redis"]
    assert found.spec.port == 6379
    assert found.published == f"127.0.0.1:{busy + 1}"


def test_no_two_stacks_remember_the_same(
    tmp_path: Path, environ: dict[str, str], busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting_at(monkeypatch, busy)
    text = "redis: {port: auto}\nagent: false"
    one = settled(opened(made(tmp_path, text), environ), environ)
    # it looked before the first one's choice was written
    other = replace(one, state=made(tmp_path, text, "bb").state)
    other = settled(other, environ)
    chosen = [found.instances["redis"].spec.port for found in (one, other)]
    assert busy not in chosen
    assert chosen == sorted(set(chosen))
    note = other.state / "ports.json"
    assert note.stat().st_mode & 0o777 == 0o600
    assert settled(other, environ) is other


def test_a_remembered_port_stays_until_a_new_one_is_asked_for(
    tmp_path: Path, environ: dict[str, str], busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting_at(monkeypatch, busy)
    written = made(tmp_path, "redis: {port: auto}\nagent: false")
    (written.state / "ports.json").write_text(json.dumps({"redis": busy, "gone": 1}))
    found = opened(written, environ)
    assert found.chosen == {"redis": busy}
    assert settled(found, environ).chosen == {"redis": busy}
    assert settled(found, environ, lambda _: True).chosen == {"redis": busy}
    assert settled(found, environ, lambda _: False).chosen == {"redis": busy + 1}
    fixed = replace(stack("redis: {port: 7000}\nagent: false"), state=written.state)
    assert settled(fixed, environ) is fixed
    assert not (written.state / "ports.json").exists()


@pytest.mark.parametrize("text", ["[]", "{", '{"redis": 0}', '{"redis": "x"}'])
def test_a_damaged_note_is_told_to_its_own_stack_alone(
    tmp_path: Path, environ: dict[str, str], text: str
) -> None:
    one, other = made(tmp_path, FILE), made(tmp_path, FILE, "bb")
    (one.state / "ports.json").write_text(text)
    with pytest.raises(MngdbError, match=r"ports\.json is damaged"):
        opened(one, environ)
    assert opened(other, environ).chosen.keys() == {"redis", "queue", "agent.redis", "agent.mngdb"}


def test_a_damaged_note_of_the_agents_ports_alone_is_written_anew(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    one = made(tmp_path, "redis: {port: 6380}")
    note = one.state / "ports.json"
    note.write_text("{")
    found = settled(opened(one, environ), environ)
    assert found.instances["redis"].spec.port == 6380
    assert json.loads(note.read_text()) == found.chosen
    note.unlink()
    note.symlink_to(tmp_path / "others")
    with pytest.raises(MngdbError):
        opened(one, environ)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis: {port: aut}", "redis.port: has to be a port number or 'auto', not 'aut'"),
        ("redis: {port: 0}", "redis.port: has to be greater than or equal to 1"),
        (
            "redis: {port: auto, target: {external: {url: 'redis://a@h'}}}",
            "the port of an external server is in its url",
        ),
        ("mongodb: {target: atlas, port: auto}", "the port of mongodb is its provider's"),
        ("target: {compose: {publish: {redis: '0.0.0.0:auto'}}}\nredis:", "exposes the server"),
    ],
)
def test_where_it_has_no_meaning_it_is_refused(text: str, said: str) -> None:
    assert said in refused(text)


def test_one_address_that_has_the_port_is_enough(busy: int) -> None:
    assert not is_free(["127.0.0.1"], busy)
    assert is_free(["127.0.0.1"], busy, [Path.cwd()])  # it is ours: we work there
    # an address that this machine has not is told when the server starts
    assert not is_free(["127.0.0.1", "192.0.2.1"], busy)
    assert is_free(["192.0.2.1"], busy)
