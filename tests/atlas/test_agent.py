"""The agent of a stack that lives in Atlas alone: no server is measured, and what has to be done at
its time is done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.atlas.conftest import beside, chat
from tests.atlas.handle import Handle
from tests.atlas.test_backups import noted
from tests.conftest import Cli
from tests.live.scrapes import quick_agent

pytestmark = [pytest.mark.live, pytest.mark.mongodb]


@pytest.fixture
def stack(fake: Handle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    found = beside(fake, tmp_path_factory.mktemp("stack"))
    found.write(chat(fake, "agent: {ports: {mngdb: PORT1}}\nbackup: {}\n"))
    yield found
    found.run("destroy", "--yes", "chat")


def test_it_renews_the_secret_of_the_service_account(fake: Handle, stack: Cli) -> None:
    client, secret = fake.account
    for name in [one for one in stack.env if one.startswith("MONGODB_ATLAS")]:
        del stack.env[name]
    for name, value in (("atlas_client-id", client), ("atlas_client-secret", secret)):
        stack.ok("secret", "set", name, stdin=value + "\n")
    stack.ok("up", "--yes")
    assert "chat-agent" in stack.ok("status")
    fake.do("ends", client=client, days=20)
    noted(stack.state / "atlas" / "journal.json", "2000-01-01T00:00:00Z")
    assert "ended on 2000-01-01" in stack.run("plan").stderr
    file, end = stack.state / "secrets" / "atlas_client-secret", time.monotonic() + 60
    with quick_agent(stack):
        while file.read_text().strip() == secret:
            assert time.monotonic() < end, (stack.state / "agent" / "agent.log").read_text()
            time.sleep(0.2)
    stack.ok("up")
    assert stack.ok("plan").strip() == "nothing to change"
    told = json.loads(stack.run("--json", "check", "--only", "stack.measured").stdout)
    assert [one["verdict"] for one in told["findings"]] == ["pass"]
