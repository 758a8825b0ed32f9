"""The program `mngdb-team`: commands that members of the team run as the owner of a stack.

    sudo -u OWNER mngdb-team STACK COMMAND [ARGUMENT]…

Who calls it is who sudo says; what the caller may do is what `up` noted of the file's `team:`. Of
the environment nothing is taken, and of the command line only what is listed here: nothing that
names a file, that prints a secret, or that leads to the owner's account (docs/decisions/team.md).
"""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mngdb.cli.common import Options
from mngdb.cli.main import begin, cli
from mngdb.errors import ForeignError, UsageError

if TYPE_CHECKING:
    from mngdb.spec.stack import Stack
    from mngdb.spec.team import Role

#: Command to the parameters that viewers may give, as click calls them. All may be given --json.
_VIEWERS = {
    "status": "instances watch",
    "plan": "exit_code verbose",
    "doctor": "app",
    "check": "only severity controls everything form language list_them",
    "alerts": "",
    "alerts rules": "",
    "sessions": "instance everything no_text",
    "connections": "instance",
    "locks": "instance watch no_text",
    "slow": "instance most since",
    "indexes": "instance unused_for",
    "bloat": "instance",
    "memory": "instance",
    "backups": "instances",
}
#: What operators may run besides.
_OPERATORS = {
    "logs": "instance follow lines",
    "keys": "instance database sample budget exact idle top patterns",
    "plan": "exit_code verbose allow prune yes",
    "up": "instances verbose allow prune yes",
    "restart": "instances",
    "down": "instances",
    "backup": "",
    "backup take": "instances full logical",
    "verify": "instances",
    "restore": "instance to latest snapshot replace undo forget replaced database table collection "
    "keys renamed overwrite yes",
    "drill": "instances snapshot history yes",
    "rotate": "apps admin monitor everything instances grace now abort status due",
    "locks kill": "pid instance terminate force",
    "alerts test": "channel",
}
COMMANDS: dict[Role, Mapping[str, str]] = {
    "viewer": _VIEWERS,
    "operator": {**_VIEWERS, **_OPERATORS},
}
#: What changes nothing. All else is noted before it begins: what cannot be noted is not done.
_WITHOUT_TRACE = {*_VIEWERS, "logs", "keys"}
#: The text of a statement holds what an app stores: viewers get none.
_WITHOUT_TEXT = ("sessions", "locks")
#: What the output may go by. Everything else in the environment is the caller's word alone.
_OF_CALLER = ("TERM", "NO_COLOR")


def run() -> None:
    """Entry point. Never returns."""
    begin(admit)


def admit(arguments: list[str], options: Options) -> list[str]:
    """The command line that the caller may run, with the stack in `options`; the environment is the
    owner's from then on. Raises UsageError for everything else."""
    from mngdb.ops import audit, inherited, team

    owner = team.account()
    caller = os.environ.get("SUDO_UID", "")
    kept = {name: os.environ[name] for name in _OF_CALLER if name in os.environ}
    os.environ.clear()
    os.environ |= {**kept, "HOME": owner.pw_dir, "USER": owner.pw_name, "LOGNAME": owner.pw_name}
    os.umask(0o022)
    if not (caller.isascii() and caller.isdigit()):
        raise UsageError(
            "mngdb-team is for members of a stack's team, who run it through sudo",
            f"{owner.pw_name} runs mngdb itself; others: sudo -u {owner.pw_name} {team.program()}",
        )
    if len(arguments) < 2 or any(one.startswith("-") for one in arguments[:2]):
        raise UsageError(
            "mngdb-team needs a stack and a command",
            f"sudo -u {owner.pw_name} {team.program()} STACK status",
        )
    name, *words = arguments
    state, found, note = team.find(name)
    role = team.role(note.groups, int(caller)) if note is not None else None
    if note is None or role is None:
        raise UsageError(
            f"you have no role in the stack {found.name!r}",
            f"ask {owner.pw_name} to add you to a group that its file names under 'team:'",
        )
    command = _require_permitted(words, role, owner.pw_name)
    inherited.restore(note.inherited, owner.pw_name)
    team.require_closed(map(Path, note.files))
    os.environ |= note.environ
    os.chdir(found.project)
    audit.on_behalf(pwd.getpwuid(int(caller)).pw_name, role)
    if command not in _WITHOUT_TRACE:
        audit.asked(state, words)
    options.files += note.files
    options.target = note.target or None
    options.through = shlex.join(["sudo", "-u", owner.pw_name, str(team.program()), name])
    options.guard = team.require_closed_programs
    options.permitted = frozenset(one.partition(" ")[0] for one in COMMANDS[role])
    if role == "viewer" and words[0] in _WITHOUT_TEXT:
        words.insert(1, "--no-text")
    return words


def _require_permitted(words: list[str], role: Role, owner: str) -> str:
    """The command, of one word or two. Raises UsageError for one, or a part of one, that a role may
    not run."""
    allowed = COMMANDS[role]
    if words[0] in {one.partition(" ")[0] for one in allowed}:
        command, given = _read(words)
    else:
        command, given = words[0], []
    if command not in allowed:
        others = next((one for one in COMMANDS if command in COMMANDS[one]), None)
        who = f"{others}s and {owner}" if others else owner
        raise UsageError(
            f"{role}s may not run 'mngdb {command}': it is for {who}",
            f"{role}s may run: {', '.join(allowed)}",
        )
    for one in given:
        if one.name not in {*allowed[command].split(), "as_json"} and "--help" not in one.opts:
            raise UsageError(
                f"{role}s may not run 'mngdb {command}' with {one.opts[-1]}: it is for {owner}",
                f"ask {owner}",
            )
    return command


def _read(words: list[str]) -> tuple[str, list[click.Parameter]]:
    """The command, of one word or two, and the parameters that are given to it. Raises what click
    does for wrong ones."""
    here, left = click.Context(cli, info_name="mngdb"), words
    path: list[str] = []
    given: list[click.Parameter] = []
    while left and isinstance(here.command, click.Group):
        name, command, left = here.command.resolve_command(here, left)
        if name is None or command is None:
            break
        path.append(name)
        here = click.Context(command, info_name=name, parent=here)
        values, left, order = command.make_parser(here).parse_args(left)
        # an argument stands there also where nobody gave one
        given += [
            one
            for one in order
            if isinstance(one, click.Option) or isinstance(values.get(one.name), str | tuple)
        ]
    return " ".join(path), given


def advice(error: ForeignError, stack: Stack | None) -> str:
    """What somebody can type who is not the owner of a stack."""
    from mngdb.identity.home import called
    from mngdb.ops import team

    owner = called(error.owner).removeprefix("the account ")
    context = click.get_current_context()
    typed = context.command_path.partition(" ")[2]
    said = stack.source.team if stack is not None else None
    role = team.role(said.groups, os.getuid()) if said is not None else None
    if stack is None or role is None:
        return f"{error.hint}; 'team:' in its file gives a group a role: docs/team.md"
    if typed not in COMMANDS[role]:
        return f"ask {owner}; {role}s may run: {', '.join(COMMANDS[role])}"
    return f"sudo -u {owner} {team.program()} {stack.name} {typed}"
