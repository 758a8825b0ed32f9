"""Who else may work with a stack, and how: groups of the file, noted in its state by `up`.

Members run `mngdb-team` as the stack's owner, through sudo (docs/decisions/team.md). What that
program goes by is the note and what sudo says: no file, no variable and no path of its caller.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from mngdb import disk
from mngdb.errors import UsageError
from mngdb.identity import record
from mngdb.identity.home import home
from mngdb.model import Action, Notice, Step
from mngdb.ops import service
from mngdb.ops.agent_environ import kept
from mngdb.ops.context import Context
from mngdb.ops.inherited import Inherited, observe
from mngdb.spec.stack import Stack
from mngdb.spec.target_info import TARGET_INFO
from mngdb.spec.team import Role
from mngdb.targets.process import machine

#: Who owns the steps, as `plan` names it.
TEAM = "team"
_FILE = "team.json"
#: What sudoers(5) takes without an escape.
_PATH, _NAME = re.compile(r"[\w/.+@-]+", re.ASCII), re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_SUDOERS = """\
# The team of the stack {stack} in {project}: docs/team.md.
# As root: 'visudo -c -f FILE', then 'install -m 0440 FILE /etc/sudoers.d/mngdb-{stack}'.
Defaults!{program} env_reset, !setenv, env_keep="NO_COLOR", !env_check, \\
    secure_path="/usr/sbin:/usr/bin:/sbin:/bin"
{rules}
"""


class Note(msgspec.Struct, frozen=True):
    """What the last `up` granted, and what a command of the team takes to mean that stack: its
    files, the target, what the owner's shell had of the variables that servers and the agent get,
    and its limits."""

    groups: dict[Role, str]
    files: list[str]
    target: str
    environ: dict[str, str]
    inherited: Inherited


def program() -> Path:
    """What members run: where the interpreter of this very mngdb has its programs."""
    return Path(sysconfig.get_path("scripts")) / "mngdb-team"


def steps(context: Context) -> Iterator[Step[None]]:
    """What `up` has to do so that the groups of the file, and no others, have a role."""
    path, asked = context.stack.state / _FILE, _asked(context)
    now = read(context.stack.state)
    if asked is None:
        if path.exists():
            text = "no group of the machine has a role"
            yield Step(TEAM, TEAM, "drop", "roles", text, lambda _: path.unlink(missing_ok=True))
    elif now is None or (now.groups, now.files, now.target) != (
        *(asked.groups, asked.files, asked.target),
    ):
        told = ", ".join(f"{role}s: the group {group}" for role, group in asked.groups.items())
        action: Action = "change" if path.exists() else "create"
        yield Step(TEAM, TEAM, action, "roles", told, lambda _: _write(context, asked))


def keep(context: Context) -> None:
    """Note what the owner's shell has now: where programs are may have changed."""
    asked = _asked(context)
    if asked is not None and asked != read(context.stack.state):
        _write(context, asked)


def _asked(context: Context) -> Note | None:
    stack = context.stack
    if stack.source.team is None:
        return None
    kind = stack.source.target.kind
    return Note(
        groups=stack.source.team.groups,
        files=[str(path) for path in service.files(context)],
        target=kind if TARGET_INFO[kind].managed else "",
        environ=kept(context),
        inherited=observe(),
    )


def _write(context: Context, note: Note) -> None:
    disk.write(context.stack.state / _FILE, msgspec.json.encode(note).decode() + "\n")


def read(state: Path) -> Note | None:
    """What was granted; nothing where the note is damaged. Raises UsageError for one of somebody
    else's."""
    try:
        return disk.read_note(state / _FILE, Note)
    except ValueError:
        return None


def find(name: str) -> tuple[Path, record.Record, Note | None]:
    """The stack called `name`, or whose folder is, of this account, at the usual place: its state,
    what it knows of itself, and what was granted. Raises UsageError."""
    every = list(record.records(home({"HOME": account().pw_dir})))
    found = [one for one in every if name in {one[0].name, one[1].name}]
    owner = account().pw_name
    if not found:
        raise UsageError(f"{owner} has no stack named {name!r}", f"ask {owner} for its name")
    if len(found) > 1:
        names = ", ".join(state.name for state, _ in found)
        raise UsageError(f"{owner} has several stacks named {name!r}", f"name one of {names}")
    ((state, mine),) = found
    return state, mine, read(state)


def role(groups: Mapping[Role, str], uid: int) -> Role | None:
    """What an account may do, by the groups that it is in at this moment."""
    try:
        who = pwd.getpwuid(uid)
    except KeyError:
        return None
    ids = os.getgrouplist(who.pw_name, who.pw_gid)
    return next((role for role, group in groups.items() if _gid(group) in ids), None)


def _gid(group: str) -> int | None:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def account() -> pwd.struct_passwd:
    """Who owns the stacks that this process may work with. Raises UsageError for an account that
    has no name."""
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        raise UsageError(
            f"the user id {os.geteuid()} has no name, which sudo needs", "add it to /etc/passwd"
        ) from None


def notices(context: Context) -> Iterator[Notice]:
    """Groups of the file that the machine does not have. It may get them later, from a directory
    service: no reason to keep servers from starting."""
    for group in _unknown(context):
        text = f"the group {group}, which the file names under team, does not exist"
        yield Notice("", text, f"groupadd {group}, or name another group")


def _unknown(context: Context) -> list[str]:
    team = context.stack.source.team
    return [one for one in team.groups.values() if _gid(one) is None] if team else []


def problems(context: Context) -> tuple[str, ...] | None:
    """What keeps the roles from meaning what the file says; None: it names none."""
    if context.stack.source.team is None:
        return None
    found = [f"the group {group} does not exist" for group in _unknown(context)]
    if any(steps(context)):
        found.append("'mngdb up' has not applied the team of the file")
    return (*found, *_exposures(_decisive(context)))


def _decisive(context: Context) -> list[Path]:
    """What decides what a member's command does as the owner, beside the program."""
    return [*map(Path, service.files(context)), *_binaries(context.stack)]


def _exposures(paths: Iterable[Path]) -> Iterator[str]:
    """What somebody else can change of these, and of what the program is made of."""
    code = [Path(one) for one in sys.path if one]
    own = (program(), Path(sys.executable), Path(sys.prefix) / "pyvenv.cfg")
    yield from filter(None, map(exposed, (*paths, *own, *code)))
    library = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    library |= {one / "lib-dynload" for one in library}
    yield from filter(None, map(_exposed_below, (one for one in code if one not in library)))


def _exposed_below(folder: Path) -> str:
    """The same of the first file or folder in it."""
    trusted = {0, os.geteuid()}
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = f"{where}/{name}"
            try:
                found = os.lstat(path)
            except OSError:
                continue  # it was there a moment ago
            usual = found.st_uid in trusted and not found.st_mode & 0o022
            text = "" if usual else exposed(Path(path))
            if text:
                return text
    return ""


def _binaries(stack: Stack) -> list[Path]:
    """The folders of programs that the file names."""
    named = (value for _, value in stack.source.binaries if value)
    return [stack.folder / disk.expanded(value) for value in named]


def require_closed(paths: Iterable[Path]) -> None:
    """Raise UsageError for the first of these, or of what the program is made of, that somebody
    else can change."""
    _require_none(_exposures(paths))


def require_closed_programs(stack: Stack) -> None:
    """The same for the programs that a stack names, before any of them is run."""
    _require_none(filter(None, map(exposed, _binaries(stack))))


def _require_none(exposures: Iterable[str]) -> None:
    for text in exposures:
        raise UsageError(
            f"{text}: who can change it would work as {account().pw_name}",
            "its owner has to close it: chmod go-w",
        )


def exposed(path: Path) -> str:
    """Who besides this account and root could put something else in a file's place: they decide
    what a member's command does as the owner. Empty: nobody."""
    way = (path, *disk.links(path), path.resolve())
    for one in dict.fromkeys(step for end in way for step in (end, *end.parents)):
        try:
            found = one.lstat()
        except OSError:
            continue  # nothing is there to be run or read
        sticky = one.is_dir() and found.st_mode & 0o1000
        others = "" if one.is_symlink() or sticky else machine.others_who_write(found)
        if others:
            return f"{one} is writable by {others}"
        if found.st_uid not in {0, os.geteuid()}:
            return f"{one} belongs to {machine.name_of(found.st_uid)}"
    return ""


def sudoers(context: Context) -> str:
    """The rule that lets the team run `mngdb-team` as this account. Raises UsageError where it
    would let somebody do more, or where sudo cannot have it."""
    team, path = context.stack.source.team, program()
    if team is None:
        raise UsageError("the file has no 'team:'", "team: {viewers: GROUP, operators: GROUP}")
    if not path.exists():
        raise UsageError(f"{path} does not exist", "install mngdb again: pip install mngdb")
    if context.located.home != home({"HOME": account().pw_dir}):
        raise UsageError(
            f"the stack's state is in {context.located.home}, where sudo does not look",
            "'team:' needs the usual place of the state (docs/state.md)",
        )
    require_closed(_decisive(context))
    if not _PATH.fullmatch(str(path)):
        raise UsageError(
            f"{path}: a sudoers file cannot contain this path", "install mngdb elsewhere"
        )
    owner = account()
    target = owner.pw_name if _NAME.fullmatch(owner.pw_name) else f"#{owner.pw_uid}"
    names = (f"#{one}" if one.isdecimal() else one for one in dict.fromkeys(team.groups.values()))
    return _SUDOERS.format(
        stack=context.stack.name,
        project=repr(str(context.located.project)),
        program=path,
        rules="\n".join(f"%{one} ALL=({target}) NOPASSWD: NOSETENV: {path}" for one in names),
    )
