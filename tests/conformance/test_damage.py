"""Whatever happens to an object of a store, `verify` and `restore` find it and name it.

Two snapshots of the toy and a log of several segments; each harm is done to them, looked for, and
undone.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from mngdb.secret import Secret
from mngdb.stores.archive import parse
from mngdb.stores.manifest import decode, encode
from mngdb.stores.sealing import Sealer, make_key, recipient
from mngdb.stores.signing import Signer, make_secret
from tests.conformance.logs import followed, reached, restored, snapshots
from tests.conformance.places import Place
from tests.conftest import Cli
from tests.live.scrapes import until

pytestmark = pytest.mark.live


@dataclass
class Backups:
    """What there is in the store of a stack."""

    cli: Cli
    first: Path
    """The folder of the older snapshot."""
    second: Path
    segments: list[Path]
    """Of the log between them."""
    end: float
    """The moment that the log reaches, with this value of the app."""
    value: str

    @property
    def part(self) -> Path:
        """Of the first stream."""
        return min(self.second.glob("*.age"))

    @property
    def manifest(self) -> Path:
        return self.second / "manifest.json"

    @property
    def segment(self) -> Path:
        """One in the middle."""
        return self.segments[len(self.segments) // 2]

    @property
    def after(self) -> str:
        """A moment that takes it, and that the older snapshot leads to alone."""
        found = parse("toy", self.segment.name, 0)
        assert found is not None
        return datetime.fromtimestamp(found.until, UTC).isoformat(timespec="milliseconds")


@dataclass
class Toys(Backups):
    """Those of a toy."""

    place: Place


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    """Of a toy whose agent has ended."""
    with followed(tmp_path_factory.mktemp("stack")) as place:
        store, number = place.cli.folder / "store", 0
        while len(segments := sorted(store.rglob("*.log/*/*.age"))) < 5:
            place.driver.put(place.env, f"value {(number := number + 1)}")
            assert number < 300
            time.sleep(0.2)
        place.cli.ok("backup")
        moment = time.time()
        until(lambda: reached(place) > moment)
        pidfile = place.cli.state / "agent" / "agent.pid"
        os.kill(int(pidfile.read_text().split()[0]), signal.SIGTERM)
        until(lambda: not pidfile.exists())
        first, second = (next(store.rglob(one["id"])) for one in snapshots(place))
        yield Toys(place.cli, first, second, segments, moment, f"value {number}", place)


# --- kinds of damage


Harm = Callable[[Backups], Path]
"""Does harm, and returns the object that has to be named."""


def flip(what: str, at: float) -> Harm:
    """One bit, at a share of the object."""

    def harm(found: Backups) -> Path:
        path: Path = getattr(found, what)
        data = bytearray(path.read_bytes())
        data[min(int(at * len(data)), len(data) - 1)] ^= 1 << random.Random(at).randrange(8)
        path.write_bytes(data)
        return path

    return harm


def cut(what: str, share: float) -> Harm:
    """What is left of the object: a share, at most all but a byte."""

    def harm(found: Backups) -> Path:
        path: Path = getattr(found, what)
        data = path.read_bytes()
        path.write_bytes(data[: min(int(share * len(data)), len(data) - 1)])
        return path

    return harm


def longer(what: str) -> Harm:
    """A byte more."""

    def harm(found: Backups) -> Path:
        path: Path = getattr(found, what)
        path.write_bytes(path.read_bytes() + b"x")
        return path

    return harm


def missing(what: str) -> Harm:
    """There is none."""

    def harm(found: Backups) -> Path:
        path: Path = getattr(found, what)
        path.unlink()
        return path

    return harm


def other_part(found: Backups) -> Path:
    """That of the other snapshot."""
    other = found.first / found.part.name
    one, two = other.read_bytes(), found.part.read_bytes()
    other.write_bytes(two)
    found.part.write_bytes(one)
    return found.part


def sealed_anew(found: Backups) -> Path:
    """Something else, which the key opens."""
    key = Secret((found.cli.state / "secrets" / "backup_key").read_text().strip())
    found.part.write_bytes(Sealer([recipient(key)]).seal(b"{}"))
    return found.part


def sealed_for_others(found: Backups) -> Path:
    """Something that the key does not open."""
    found.part.write_bytes(Sealer([recipient(make_key())]).seal(b"{}"))
    return found.part


def edited(found: Backups) -> Path:
    """The manifest, by hand."""
    text = found.manifest.read_text()
    found.manifest.write_text(text.replace('"instance":"', '"instance":"x'))
    return found.manifest


def forged(found: Backups) -> Path:
    """The manifest, whole, by somebody who has no secret of the stack."""
    manifest = decode(found.manifest.read_bytes(), None, unsigned=True)
    found.manifest.write_bytes(encode(replace(manifest, tool="forged"), Signer(make_secret())))
    return found.manifest


def of_the_other(found: Backups) -> Path:
    """The manifest of the other snapshot."""
    found.manifest.write_bytes((found.first / "manifest.json").read_bytes())
    return found.manifest


def exchanged(found: Backups) -> Path:
    """Two segments, each with the other's content."""
    one, two = found.segment, found.segments[1]
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    return two


def cut_out(found: Backups) -> Path:
    """There is no such segment: the next one is named."""
    found.segment.unlink()
    return found.segments[found.segments.index(found.segment) + 1]


KINDS = ("part", "manifest", "segment")
HARMS: dict[str, Harm] = {
    **{f"{what}, a bit at {at:.0%}": flip(what, at) for what in KINDS for at in (0.01, 0.5, 1)},
    **{f"{what}, cut to {left:.0%}": cut(what, left) for what in KINDS for left in (0, 0.5, 0.99)},
    **{f"{what}, longer": longer(what) for what in KINDS},
    "part, missing": missing("part"),
    "part, another snapshot's": other_part,
    "part, sealed anew": sealed_anew,
    "part, sealed for others": sealed_for_others,
    "manifest, missing": missing("manifest"),
    "manifest, edited": edited,
    "manifest, forged": forged,
    "manifest, another snapshot's": of_the_other,
    "segment, missing": cut_out,
    "segment, exchanged": exchanged,
}


@pytest.mark.parametrize("harm", HARMS)
def test_it_is_found_and_named_by_verify_and_by_restore(backups: Toys, harm: str) -> None:
    cli, store = backups.cli, backups.cli.folder / "store"
    whole = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    named = HARMS[harm](backups)
    harmed = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    target = ("--to", backups.after) if harm[0] == "s" else ("--snapshot", backups.second.name)
    try:
        verified = cli.run("--json", "verify")
        tried = cli.run("restore", "toy", *target)
        left = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    finally:
        for path, content in whole.items():
            path.write_bytes(content)
    assert verified.returncode == 1
    where = f"{named.parent.name}/{named.name}"
    assert any(where in text for text in json.loads(verified.stdout)["damaged"]), verified.stdout
    if harm == "segment, missing":  # what it is called, nobody knows
        assert (tried.returncode, "cannot be restored" in tried.stderr) == (2, True)
    elif harm == "manifest, missing":
        assert (tried.returncode, backups.second.name in tried.stderr) == (2, True)
    else:
        assert (tried.returncode, named.name in tried.stderr) == (1, True), tried.stderr
    assert left == harmed, "evidence is kept"
    assert not list((cli.state / "restored").glob("*/"))


def test_nothing_of_it_is_left(backups: Toys) -> None:
    assert len(HARMS) >= 25
    assert backups.cli.json("verify")["verdict"] == "pass"
    assert restored(backups.place, backups.end) == backups.value
