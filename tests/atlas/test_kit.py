"""A backup kit of a stack in Atlas: what it says leads a new stack to the cluster that is there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from mngdb.ops.backup import kit as kits
from mngdb.ops.backup import place
from mngdb.ops.backup.rebuild import rebuild
from mngdb.secret import Secret
from tests.atlas.inside import Inside, Stack
from tests.atlas.strangers import everything

pytestmark = pytest.mark.mongodb
FILE = """\
name: chat
mongodb: {target: {atlas: {region: ap-northeast-2, access: [203.0.113.1]}}}
apps: {shop: {mongodb: chatdb}}
backup: {}
"""


def test_its_steps_lead_back(inside: Inside, tmp_path: Path) -> None:
    inside.empty()
    (tmp_path / "old").mkdir()
    old = Stack(tmp_path / "old", inside)
    old.write(FILE)
    old.up()
    assert place.concerns(old.context()) == []  # nothing is written to the default store
    kit = kits.collect(old.context())
    assert kits.decode(kits.encode(kit)) == kit
    (kept,) = kit.kept
    assert (kept.instance, kept.keeper, kit.stored) == ("mongodb", "Atlas", False)
    assert "cluster chat-mongo of the Atlas project chat" in kits.page(kit, "")
    assert "atlas_client-secret" in kit.keys  # they are in the environment, and in no kit
    old.context().vault.put({"atlas_client-id": Secret("a"), "atlas_client-secret": Secret("b")})
    assert kits.collect(old.context()).keys == ""

    new = Stack(tmp_path / "new", inside)
    rebuild(kit, new.folder, {**os.environ, **inside.environment})
    before = everything(inside)
    file = new.folder / "mngdb.yaml"
    assert kept.steps[0] == "write 'project: chat' under 'atlas:' in the file"
    file.write_text(file.read_text().replace("{region", "{project: chat, region"))
    refused = new.up().refused
    assert {step.object for step in refused} == {"cluster chat-mongo"}
    words = shlex.split(kept.steps[1])
    report = new.up(*(word for at, word in enumerate(words) if words[at - 1] == "--allow"))
    assert (report.errors, report.refused) == ({}, [])
    assert [(step.object, step.detail) for step in new.plan().steps] == []
    for kind in ("clusters", "databaseUsers", "roles"):
        assert [path for path in everything(inside) if kind in path] == [
            path for path in before if kind in path
        ]
