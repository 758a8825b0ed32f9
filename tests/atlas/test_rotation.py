"""Passwords of an Atlas cluster are rotated while clients log in all the time, though Atlas takes a
while to bring users to its servers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.atlas.client import Client
from tests.atlas.conftest import beside, chat
from tests.atlas.handle import Handle
from tests.conftest import EVERYTHING, Cli
from tests.live.followers import following, lets_in, published, settings

pytestmark = [pytest.mark.live, pytest.mark.mongodb]
#: Seconds until a server knows a user, and logins in all.
SPREAD, LOGINS = 1.0, 20_000 if EVERYTHING else 200


@pytest.fixture(scope="module")
def stack(fake: Handle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    found = beside(fake, tmp_path_factory.mktemp("stack"))
    found.write(chat(fake))
    found.ok("up", "--yes")
    fake.speed(user=SPREAD)
    yield found
    fake.speed(user=0.02)
    found.run("destroy", "--yes", "chat")


@pytest.fixture
def reached(fake: Handle, stack: Cli) -> Callable[[Mapping[str, str]], dict[str, str]]:
    """An app's settings, with an address that can be reached from here."""
    group = Client(fake).ok("GET", "/groups/byName/chat")["id"]
    found = Client(fake).ok("GET", f"/groups/{group}/clusters/chat-mongo")
    host = found["connectionStrings"]["standard"].partition("://")[2].partition("/")[0]
    way = f"tls=true&tlsCAFile={fake.ca}&authSource=admin&directConnection=true"

    def read(found: Mapping[str, str]) -> dict[str, str]:
        uri = re.sub(r"mongodb\+srv://(.*)@[^/]*/(\w*).*", rf"mongodb://\1@{host}/\2?{way}",
                     found["MONGO_URI"])  # fmt: skip
        return {"MONGO_URI": uri}

    return read


def test_a_rotation_under_load_refuses_nobody(
    stack: Cli, reached: Callable[[Mapping[str, str]], dict[str, str]]
) -> None:
    rotations, before = 0, reached(settings(stack, "shop"))
    path = published(stack, "shop")
    with following(lambda: reached(json.loads(path.read_text())), {"mongodb": 2}) as found:
        while rotations < 2 or sum(found.tried.values()) < LOGINS:
            assert stack.json("rotate", "shop")["rotations"] == []
            rotations += 1
    print(f"Atlas: {rotations} rotations, {found.tried.total()} logins, "
          f"{found.refused.total()} refused")  # fmt: skip
    assert (found.errors[:3], found.refused.total()) == ([], 0)
    time.sleep(SPREAD + 0.5)
    assert not lets_in("mongodb", before)
    assert stack.ok("plan").strip() == "nothing to change"


def test_an_apps_damaged_secret_costs_that_app_alone(
    fake: Handle, stack: Cli, reached: Callable[[Mapping[str, str]], dict[str, str]]
) -> None:
    before = reached(settings(stack, "shop"))
    secret = stack.state / "secrets" / "mongodb_shop"
    whole = secret.read_text()
    secret.write_text("")
    fake.writes()
    for command in ("plan", "up"):
        done = stack.run(command)
        assert (done.returncode, done.stderr.count("mongodb_shop is empty")) == (2, 1), done.stderr
    assert fake.writes() == []
    assert lets_in("mongodb", before)
    secret.write_text(whole)
    assert stack.ok("plan").strip() == "nothing to change"


def test_the_administrator_of_a_cluster_is_mngdbs_own(fake: Handle, stack: Cli) -> None:
    before = (stack.state / "secrets" / "mongodb_admin").read_text()
    fake.writes()
    stack.ok("rotate", "--admin")
    assert fake.writes() == ["updateGroupDatabaseUser"]
    assert (stack.state / "secrets" / "mongodb_admin").read_text() != before
    # it waited until the servers knew it
    assert json.loads(stack.ok("sessions", "--json"))
    assert stack.ok("plan").strip() == "nothing to change"
