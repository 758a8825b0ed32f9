"""A toy server whose log is archived, for the tests of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.conformance import places
from tests.conformance.drivers import TOY
from tests.conformance.places import Place
from tests.conftest import ROOT, free_port
from tests.live.faults import begin
from tests.live.scrapes import until


@contextmanager
def followed(folder: Path) -> Iterator[Place]:
    """A toy server whose agent archives its log, with a snapshot."""
    with places.place(TOY, "local", folder) as found:
        ports = "mngdb: PORT2, postgres: PORT3, redis: PORT4, mongodb: PORT5"
        at = time.strftime("%H:%M", time.gmtime(time.time() - 60))
        found.head += (
            f"\nagent: {{ports: {{{ports}}}}}"
            f"\nbackup: {{store: '{folder}/store', at: '{at}', drill: {{every: 365d}}}}"
        )
        found.write()
        found.cli.env["TOY_METRICS_PORT"] = str(free_port())
        with agent(found):
            until((found.cli.state / "agent" / "agent.pid").exists)
            found.cli.ok("up")
            until(lambda: reached(found) > 0)
            found.cli.ok("backup")
            yield found


@contextmanager
def agent(place: Place) -> Iterator[None]:
    """The agent, which knows the toy; that of `up` does not."""
    env = place.cli.env | {"PYTHONPATH": str(ROOT)}  # of no command else: it would be no fork
    with begin(replace(place.cli, env=env), "agent") as process:
        try:
            yield
        finally:
            process.terminate()
            process.communicate(timeout=20)


def snapshots(place: Place) -> Any:
    return place.cli.json("backups")["instances"][0]["snapshots"]


def reached(place: Place) -> float:
    """The last moment that the agent has said."""
    note = place.cli.state / "archive" / "toy"
    return float(json.loads(note.read_text())["until"]) if note.exists() else 0.0


def sealed_for(place: Place) -> str:
    """The fingerprint of the keys that the log is encrypted for now."""
    return str(json.loads((place.cli.state / "archive" / "toy").read_text())["keys"])


def restored(place: Place, moment: float) -> str | None:
    """The app's value in a server that is restored to a moment."""
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(moment))}.{moment % 1:.6f}"[:-1]
    text = text.replace(".0.", ".") + "Z"
    found = place.cli.json("restore", "toy", "--to", text)
    host, _, port = found["address"].rpartition(":")
    try:
        return place.driver.get(place.driver.moved(place.env, host, int(port)))
    finally:
        place.cli.ok("restore", "--forget", "toy")
