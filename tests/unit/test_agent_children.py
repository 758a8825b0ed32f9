"""The agent's commands end with it, however it ends: real processes, which are not `mngdb`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from mngdb.agent.children import Children
from mngdb.ops import service
from mngdb.ops.context import Context
from tests.live.scrapes import until

#: An agent that runs one command, COMMAND, and says so.
AGENT = """
import sys
from mngdb.agent import children
from mngdb.ops import service

service.command = lambda _: [sys.executable, "-c", COMMAND]
children.Children(None).run("work")
"""
#: Takes a minute. Asked to end it tidies up, or does not care.
COMMAND = """
import pathlib, signal, time
from mngdb.agent import children

children._ENDING = 0.5
if STUBBORN:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
begun, tidy = pathlib.Path(FOLDER, "begun"), pathlib.Path(FOLDER, "tidy")
lasts = open(FOLDER + "/lasts", "w")  # as long as the process does
children.attend()
begun.touch()
try:
    time.sleep(60)
except KeyboardInterrupt:
    tidy.touch()
"""


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_killed_agents_command_tidies_up_or_is_killed(tmp_path: Path, stubborn: bool) -> None:
    command = COMMAND.replace("FOLDER", repr(str(tmp_path))).replace("STUBBORN", str(stubborn))
    code = AGENT.replace("COMMAND", repr(command))
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as agent:
        until((tmp_path / "begun").exists)
        agent.send_signal(signal.SIGKILL)
    until(lambda: not _open(tmp_path / "lasts"), 15)
    assert (tmp_path / "tidy").exists() == (not stubborn)


def _open(path: Path) -> bool:
    """Whether a process has the file open."""
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if handle.readlink() == path:
                return True
        except OSError:
            continue  # it has just ended
    return False


def test_once_they_were_asked_to_end_none_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = f"open({str(tmp_path / 'begun')!r}, 'w')"
    monkeypatch.setattr(service, "command", lambda _: [sys.executable, "-c", code])
    children = Children(cast(Context, None))
    children.end()
    assert children.run("work") == ""
    children.ended(5.0)
    assert not (tmp_path / "begun").exists()
