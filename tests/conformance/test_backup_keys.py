"""What is damaged, and what no key here opens: told, refused, and never made worse.

One test goes on where the one before it ends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mngdb.stores.sealing import make_key
from tests.conformance.logs import followed, reached, restored, sealed_for, snapshots
from tests.conformance.places import Place
from tests.live.scrapes import until

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A toy server whose agent archives its log."""
    with followed(tmp_path_factory.mktemp("stack")) as found:
        yield found


def hinted(place: Place, *words: str) -> list[str]:
    """What the hint of a restore that fails says to run, without `mngdb`."""
    done = place.cli.run("restore", "toy", *words)
    assert done.returncode == 1, done.stdout
    return done.stderr.partition(": mngdb ")[2].split()


def test_what_is_damaged_says_what_can_still_be_restored(place: Place) -> None:
    (before,) = snapshots(place)
    for number in range(40):  # several segments, each of a second
        place.driver.put(place.env, f"value {number}")
        time.sleep(0.2)
    moment = time.time()
    until(lambda: reached(place) > moment)
    last = max(Path(place.cli.folder, "store").rglob("*.log/*/*"), key=lambda one: one.name)
    whole = last.read_bytes()
    last.write_bytes(whole[:-1])
    command = hinted(place, "--latest")
    assert "--to" in command
    found = place.cli.json(*command)
    assert found["snapshot"] == before["id"]
    place.cli.ok("restore", "--forget", "toy")
    last.write_bytes(whole)
    (taken,) = place.cli.json("backup")["instances"]
    (part,) = Path(place.cli.folder, "store").rglob(f"{taken['id']}/*.age")
    manifest = part.parent / "manifest.json"
    kept = {one: one.read_bytes() for one in (part, manifest)}
    part.write_bytes(kept[part][:-1])
    command = hinted(place, "--snapshot", taken["id"])
    assert command[-2:] == ["--snapshot", before["id"]]
    manifest.write_text("{}")
    assert hinted(place, "--snapshot", taken["id"]) == command
    for one, content in kept.items():
        one.write_bytes(content)
    place.cli.ok("verify")


def test_a_key_that_is_missing_is_not_replaced_in_silence(place: Place) -> None:
    secret = place.cli.state / "secrets" / "backup_key"
    key = secret.read_text()
    before = snapshots(place)
    secret.unlink()
    done = place.cli.run("backup")
    assert (done.returncode, secret.exists()) == (2, False), done.stderr
    assert "--new-key" in done.stderr
    assert "the kit holds" in done.stderr
    (listed,) = place.cli.json("backups")["instances"]
    assert listed["reachable"] == []
    assert {one["state"] for one in listed["snapshots"]} == {"key missing"}
    assert "key missing" in place.cli.run("backups").stdout
    done = place.cli.run("restore", "toy", "--latest")
    assert (done.returncode, "secret set backup_key" in done.stderr) == (2, True), done.stderr
    place.cli.ok("secret", "set", "backup_key", stdin=key)
    done = place.cli.run("backup", "--new-key")
    assert done.returncode == 2, "there is one"
    assert snapshots(place) == before


def test_what_signs_is_not_replaced_in_silence_either(place: Place) -> None:
    secret = place.cli.state / "secrets" / "backup_mac"
    kept, before = secret.read_text(), snapshots(place)
    secret.unlink()
    done = place.cli.run("backup")
    assert (done.returncode, secret.exists()) == (2, False), done.stderr
    assert "secret set backup_mac" in done.stderr
    assert "backup_mac" in place.cli.run("status").stderr
    assert "secret set backup_mac" in place.cli.run("doctor").stdout
    moment = time.time()
    until(lambda: reached(place) > moment, 20)  # the agent goes on with the one of before
    assert not secret.exists()
    place.cli.ok("secret", "set", "backup_mac", stdin=kept)
    assert snapshots(place) == before


def test_after_a_change_of_the_key_snapshot_and_log_have_the_same(place: Place) -> None:
    (*_, before), old = snapshots(place), sealed_for(place)
    place.cli.ok("secret", "set", "backup_key", stdin=make_key().reveal())
    until(lambda: sealed_for(place) != old, 60)
    until(lambda: reached(place) > 0)
    place.cli.ok("backup")
    place.driver.put(place.env, "with another key")
    moment = time.time()
    until(lambda: reached(place) > moment)
    assert restored(place, moment) == "with another key"
    assert [one["state"] for one in snapshots(place)][-2:] == ["key missing", "complete"]
    done = place.cli.run("restore", "toy", "--snapshot", before["id"])
    assert (done.returncode, "does not fit" in done.stderr) == (2, True), done.stderr


def test_where_the_key_is_lost_for_good_all_begins_anew_with_another(place: Place) -> None:
    (place.cli.state / "secrets" / "backup_key").unlink()
    place.cli.ok("backup", "--new-key")
    assert [one["state"] for one in snapshots(place)][-1] == "complete"
    run = json.loads((place.cli.state / "backup-runs" / "toy").read_text())
    until(lambda: sealed_for(place) == run["keys"], 60)
