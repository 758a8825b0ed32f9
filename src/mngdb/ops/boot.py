"""`enable` and `disable`: a stack that comes back when the machine boots."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import MngdbError, UsageError
from mngdb.model import Notice, Step
from mngdb.ops import service
from mngdb.ops.context import Context
from mngdb.run import run
from mngdb.spec.agent import AGENT
from mngdb.targets.process import boot
from mngdb.targets.process.boot import Kind

#: Seconds for systemctl; its `start` lasts as long as `up` does, recoveries included.
_TIMEOUT, _START = 60.0, 86_400.0
#: loginctl(1): the users whose services run without a login.
_LINGER = Path("/var/lib/systemd/linger")
#: What a unit that could not be written is called among the errors of `plan` and `up`.
AT_BOOT = "after a reboot"


class _Note(Struct, frozen=True):
    """What is known of earlier commands. `told`: that nothing comes back after a reboot was said
    while the stack was in `project`; `linger`: lingering was switched on by us."""

    told: bool = False
    linger: bool = False
    project: str = ""


def enable(context: Context) -> list[str]:
    """Install the unit and have it started at boot. Returns what was done; nothing: all was so.
    Raises UsageError where systemd does not run, or the unit is another stack's."""
    if not boot.booted():
        raise UsageError(
            "systemd is not running here",
            f"with cron, 'crontab -e' takes this line: {service.cron(context)}",
        )
    kind, name = boot.ours(), service.name(context)
    path = boot.folder(kind) / name
    _refuse_other(context, path)
    done = []
    text = service.render(context, kind)
    if not path.exists() or path.read_text(errors="replace") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.write(path, text, mode=0o644)
        done.append(f"{path} written")
    _systemctl(kind, "daemon-reload")
    done += _linger(context, kind)
    if not boot.comes_back(context.stack, cron=False):
        _systemctl(kind, "enable", "--quiet", name)
        done.append(f"{name} enabled")
    _tell_again(context)
    if context.stack.state.is_dir() and not _active(kind, name):
        # one that was not started would not be stopped in order when the machine goes down
        _started(kind, name)
        done.append(f"{name} started")
    return done


def disable(context: Context) -> list[str]:
    """Take back what `enable` did. Servers run on. Returns what was done; nothing: there was no
    unit of this stack."""
    kind, name = boot.ours(), service.name(context)
    path = boot.folder(kind) / name
    if not boot.owned(path, context.stack):
        return []
    link = path.parent / f"{boot.WANTED_BY[kind]}.wants" / name
    if boot.booted():
        _systemctl(kind, "disable", "--quiet", name)
    link.unlink(missing_ok=True)
    path.unlink()
    done = [f"{name} disabled and removed"]
    if boot.booted():
        _systemctl(kind, "daemon-reload")
    note = _read(context)
    others = list(path.parent.glob("mngdb-*.service"))
    if note.linger and not others:
        run(["loginctl", "disable-linger", _user()], timeout=_TIMEOUT)
        done.append(f"lingering disabled for {_user()}")
    if context.stack.state.is_dir():
        # who disables it knows
        _write(context, _Note(told=True, project=str(context.located.project)))
    return done


def steps(context: Context) -> Iterator[Step[None]]:
    """What `up` has to do for a unit of this stack's that is installed: it starts the stack as it
    was when the unit was written, perhaps in a folder that is not there any more. Raises UsageError
    where a unit cannot hold a path."""
    kind, name = boot.ours(), service.name(context)
    path = boot.folder(kind) / name
    if not boot.owned(path, context.stack):
        return
    installed = path.read_text(errors="replace")
    text = service.render(context, kind, installed)
    if text == installed:
        return

    def write(_: object) -> None:
        disk.write(path, text, mode=0o644)
        if boot.booted():
            _systemctl(kind, "daemon-reload")

    detail = f"rewritten to start the stack in {context.located.project}"
    yield Step(AGENT, AGENT, "change", name, detail, write)


def notices(context: Context) -> Iterator[Notice]:
    """That nothing comes back after a reboot: said once, and again once that has become so."""
    if not boot.needed(context.stack):
        return
    note, project = _read(context), str(context.located.project)
    if boot.comes_back(context.stack, cron=False):
        _tell_again(context)
    elif not note.told or note.project not in {"", project}:
        if not boot.comes_back(context.stack):
            text = "this stack does not start at boot: run 'mngdb enable'"
            yield Notice("", text)
        _write(context, replace(note, told=True, project=project))


def _tell_again(context: Context) -> None:
    """Something starts the stack now: it is news should that be lost."""
    note = _read(context)
    if note.told:
        _write(context, replace(note, told=False))


def _refuse_other(context: Context, path: Path) -> None:
    """Raise UsageError for a unit of the name that starts another project, which is still there."""
    owner = boot.owner(path)
    if owner is None or boot.owned(path, context.stack):
        return
    if not owner.project:
        raise UsageError(
            f"{path} was not written by mngdb", "rename it, or give the stack a 'name:'"
        )
    if boot.there(owner, context.stack):
        raise UsageError(
            f"{path} starts the stack in {owner.project}",
            "give this stack another 'name:', or run 'mngdb disable' there",
        )


def _linger(context: Context, kind: Kind) -> list[str]:
    """A user's services run without a login only with lingering."""
    if kind == "system" or (_LINGER / _user()).exists():
        return []
    done = run(["loginctl", "enable-linger", _user()], timeout=_TIMEOUT, check=False)
    if done.returncode != 0:
        raise MngdbError(
            f"could not enable lingering for {_user()}: {done.stderr.strip()}",
            f"sudo loginctl enable-linger {_user()}, then 'mngdb enable' again",
        )
    _write(context, replace(_read(context), linger=True))
    return [f"lingering enabled for {_user()}"]


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _active(kind: Kind, name: str) -> bool:
    return _ask(kind, "is-active", "--quiet", name) == ""


def _started(kind: Kind, name: str) -> None:
    said = _ask(kind, "start", name, timeout=_START)
    if said is not None and said != "":
        journal = "journalctl --user" if kind == "user" else "journalctl"
        raise MngdbError(
            f"{name} is enabled, but failed to start now: {said}", f"{journal} --unit {name}"
        )


def _systemctl(kind: Kind, *words: str) -> None:
    said = _ask(kind, *words)
    if said:
        hint = "log in again, or set XDG_RUNTIME_DIR" if kind == "user" else None
        raise MngdbError(f"systemctl {words[0]} failed: {said}", hint)


def _ask(kind: Kind, *words: str, timeout: float = _TIMEOUT) -> str:
    """What systemctl complained of; empty: nothing."""
    env = dict(os.environ)
    if kind == "user":
        env.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")  # `su` sets none
    scope = ["--user"] if kind == "user" else []
    done = run(["systemctl", *scope, *words], timeout=timeout, env=env, check=False)
    if done.returncode == 0:
        return ""
    return " ".join(done.stderr.split()) or f"exit code {done.returncode}"


def _file(context: Context) -> Path:
    return context.stack.state / "boot.json"


def _read(context: Context) -> _Note:
    try:
        return _Note(**json.loads(disk.read_own(_file(context)) or ""))
    except (ValueError, TypeError, RecursionError):
        return _Note()  # there is none yet, or a damaged one: it is said once more


def _write(context: Context, note: _Note) -> None:
    disk.write(_file(context), json.dumps(to_builtins(note)) + "\n", durable=False)
