"""A stack as a unit of systemd, and as a line for cron.

Servers are daemons of their own, so the unit is one that ran and stays: what ends is `mngdb up`,
never a server (systemd.service(5), systemd.exec(5), systemd.kill(5)).
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from mngdb import __version__, data
from mngdb.errors import UsageError
from mngdb.identity.home import SAFE, lent_trust
from mngdb.ops.context import Context
from mngdb.spec.target_info import TARGET_INFO
from mngdb.targets.process import boot, machine
from mngdb.targets.process.boot import PROJECT, STACK, WANTED_BY, Kind

#: Variables that say where things are, and no secrets.
_PLACES = ("MNGDB_STATE_HOME", "XDG_STATE_HOME")
#: What neither mngdb nor a server needs. Nothing that makes /tmp another one (sockets may be
#: there), nor what forbids memory to be both written and run (PostgreSQL's and MongoDB's JIT).
_HARDENED = (
    *("NoNewPrivileges=yes", "LockPersonality=yes", "RestrictRealtime=yes"),
    *("RestrictSUIDSGID=yes", "SystemCallArchitectures=native"),
)
#: The same where systemd need not make a user namespace for it.
_HARDENED_SYSTEM = (
    *("ProtectSystem=yes", "ProtectKernelTunables=yes", "ProtectKernelModules=yes"),
    *("ProtectKernelLogs=yes", "ProtectControlGroups=yes", "ProtectClock=yes"),
    "ProtectHostname=yes",
)


def render(context: Context, kind: Kind, installed: str = "") -> str:
    """The unit's text; where one is `installed`, with its variables: where programs are is what
    'enable' was told, and not what the next command's caller has. Raises UsageError where a unit
    cannot hold a path."""
    _require_plain(context)
    stack, system = context.stack, kind == "system"
    others = [unit for one in context.targets() for unit in one.boot().after]
    after = ["local-fs.target", *others, "network-online.target"]
    wants = [one for one in after if one != "local-fs.target"]
    order = f"After={' '.join(after)}\nWants={' '.join(wants)}" if system else "After=basic.target"
    lines = (*_HARDENED, *(_HARDENED_SYSTEM if system else ()))
    apart = system and os.geteuid() != 0
    return data.text(__file__, "service.service").format(
        version=__version__,
        variables=f"/etc/default/mngdb-{stack.name}"
        if system
        else f"%h/.config/mngdb/{stack.name}.env",
        name=stack.name,
        after=order,
        mounts=" ".join(_word(str(path)) for path in _mounts(context)),
        owner="\n".join(_owner(context)),
        account=f"User={machine.name_of(os.geteuid())}\n" if apart else "",
        environment="\n".join(_variables(context, installed)),
        start=" ".join(_word(word).replace("$", "$$") for word in command(context)),
        hardened="\n".join(lines),
        wanted=WANTED_BY[kind],
    )


def _owner(context: Context) -> Iterator[str]:
    """Whose the unit is."""
    stack = boot.identity(context.stack)
    if stack:
        yield f"{STACK}={stack}"
    yield f"{PROJECT}={context.located.project}".replace("%", "%%")


def _variables(context: Context, installed: str) -> Iterator[str]:
    """The lines with variables."""
    kept = re.findall(r"^Environment=.*$", installed, re.MULTILINE)
    if kept:
        yield from (line for line in kept if f"{SAFE}=" not in line)
    for name, value in _environment(context):
        if not kept or name == SAFE:
            yield f"Environment={_word(f'{name}={value}')}"


def cron(context: Context) -> str:
    """The line of a crontab that does the same where systemd does not run. Raises as `render`."""
    _require_plain(context)
    words = ["env", *(f"{name}={value}" for name, value in _environment(context))]
    line = shlex.join([*words, *command(context), "up", "--boot"])
    log = shlex.quote(str(context.stack.state / "boot.log"))
    return f"@reboot {line} >>{log} 2>&1".replace("%", r"\%")


def command(context: Context) -> list[str]:
    """How this very mngdb is called for this very stack, from anywhere."""
    named = [word for path in files(context) for word in ("-f", str(path))]
    target = context.stack.source.target.kind
    more = ["--target", target] if TARGET_INFO[target].managed else []
    return [sys.executable, "-P", "-m", "mngdb", *named, *more]


def files(context: Context) -> Iterator[Path]:
    """The stack's files; those in the project by its name, which may be a link that is moved to
    another release."""
    for path in context.stack.files:
        ours = not path.is_symlink() and path.resolve().parent == context.stack.folder
        yield context.located.project / path.name if ours else path.absolute()


def _environment(context: Context) -> Iterator[tuple[str, str]]:
    """What the shell had and a service has not: where programs and state are, and that the files of
    who called `sudo` are trusted."""
    folders = context.environ.get("PATH", "").split(os.pathsep)
    yield "PATH", os.pathsep.join(dict.fromkeys(one for one in folders if one.startswith("/")))
    more = [name for one in context.targets() for name in one.boot().variables]
    for name in (*_PLACES, *more):
        if context.environ.get(name):
            yield name, context.environ[name]
    yield from lent_trust(context.stack.files).items()


def _require_plain(context: Context) -> None:
    """Raise UsageError for a path or a variable that would end its line, or that is no text."""
    variables = [f"{name}={value}" for name, value in _environment(context)]
    for text in (*map(str, _mounts(context)), *command(context), *variables):
        if any(unicodedata.category(one) in {"Cc", "Cs"} for one in text):
            raise UsageError(
                f"{text!r} has a control character or invalid UTF-8, which neither a systemd "
                "unit nor a crontab can contain",
                "rename it",
            )


def _mounts(context: Context) -> list[Path]:
    """What has to be mounted before: the project, the state, the data, and Python."""
    stack = context.stack
    found = [stack.folder, stack.state.resolve(), Path(sys.prefix)]
    found += [path for one in context.targets() for path in one.boot().mounts]
    return list(dict.fromkeys(found))


def variables(context: Context) -> list[str]:
    """Variables of the environment that the files name: a service does not have them."""
    return sorted(name for name in context.stack.variables if name in context.environ)


def _word(text: str) -> str:
    """A word of a unit (systemd.syntax(7)): percent signs are specifiers."""
    text = text.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./$~-]+", text, re.ASCII):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def name(context: Context) -> str:
    """The unit's name."""
    return boot.unit(context.stack)
