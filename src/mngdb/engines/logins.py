"""What becomes of a login: one policy for all engines. Pure.

A login that mngdb makes carries a mark on the server: the name of its stack, on a server of others
with the stack's ID: an ID that is not this stack's is another project's, on a server of ours, too.
Who shares the vault's password for a login is the same team, whatever the ID.

| the login is                | on a server of ours                       | on somebody else's |
|-----------------------------|-------------------------------------------|--------------------|
| in the file alone           | create                                    | create             |
| in both, this stack's       | mend                                      | mend               |
| in both, of another's name  | mend; take over where the mark has an ID  | refuse             |
| in both, of another's ID    | mend                                      | take over          |
| in both, unmarked           | mend; take over where it may own data     | take over          |
| on the server, this stack's | close, or drop                            | close, or drop     |
| on the server, another's    | close, or drop                            | leave              |
| on the server, another's ID | report, or shut                           | leave              |
| on the server, unmarked     | report, or shut                           | leave              |

Taking over, dropping and shutting need consent: `--allow` with the login's name, or `--prune` for
dropping. To mend includes the secret: that of the vault becomes the login's, and a closed login of
an app that is back is opened.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from mngdb.errors import UsageError
from mngdb.model import DesiredInstance, Notice, Step
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.words import TAKE_OVER, named

S = TypeVar("S")
#: Logins that one notice names.
_SHOWN = 30


class Login(Struct, frozen=True):
    """A login as it was found on a server."""

    name: str
    mark: str | None = None
    """Which stack's it is, STACK or STACK/ID; None: mngdb did not make it."""
    open: bool = True
    """Whether anybody can do anything with it."""
    agrees: bool = False
    """Whether its password is the vault's."""

    @property
    def stack(self) -> str:
        """The name of the stack that made it; empty: mngdb did not."""
        return (self.mark or "").partition("/")[0]


def needs_consent(asked: DesiredInstance, login: Login, *, owning: bool = False) -> bool:
    """Whether a login that the file has is taken over from somebody: it is mended only when the
    command names it. `owning`: a login may own data here, so that also on a server of ours this
    gives away what somebody else made. Raises UsageError where two stacks that share a server would
    fight for it."""
    if login.stack not in {"", asked.stack} and not asked.managed:
        raise UsageError(
            f"{asked.instance.name}: the login {login.name} belongs to the stack {login.stack}",
            "only one stack can monitor it (agent: external)"
            if login.name == MONITOR
            else "choose another name for this app",
        )
    if _label(asked, login) in asked.allow:
        return False
    if login.mark is None:
        return owning or not asked.managed
    if asked.managed and login.stack == asked.stack:
        return False  # data of this project, which was brought here
    return _strangers(asked, login) and not login.agrees


def mark(asked: DesiredInstance, login: Login) -> str:
    """The mark that a login of the file has to carry. One that another project made, which has the
    same vault, keeps its own until the command names it."""
    shared = login.agrees and _strangers(asked, login)
    kept = shared and _label(asked, login) not in asked.allow
    return login.mark if kept and login.mark else asked.mark


def unwanted(
    asked: DesiredInstance, login: Login
) -> Literal["drop", "close", "closed", "shut", "report", "leave"]:
    """What becomes of a login that the file does not have: of an app that left it, or of somebody
    else's."""
    ours = login.mark is not None and not _strangers(asked, login)
    named, pruned = _label(asked, login) in asked.allow, "*" in asked.allow
    # on an adopted server others may use it: it is dropped by both words alone
    if ours and (named and pruned if asked.instance.adopt else named or pruned):
        return "drop"
    if ours:
        return "close" if login.open else "closed"
    if not asked.managed or not login.open:
        return "leave"
    return "shut" if named else "report"


def take_over(asked: DesiredInstance, login: Login) -> Step[object]:
    """Asks for consent: it does nothing itself, and without it nothing else is done."""
    instance, run = asked.instance, lambda _: None
    what = _label(asked, login)
    return Step(instance.name, instance.engine, "change", what, TAKE_OVER, run, destructive=True)


def mended(step: Step[S]) -> Step[S]:
    """A right that an adopted login lacks, marked: nobody changed the file or the login since."""
    return replace(step, detail=f"{step.detail} [worth mending: the login has less than the file]")


def other_password(asked: DesiredInstance, app: str) -> Notice:
    """An adopted login whose password is not what the vault has for it."""
    name = asked.instance.name
    return Notice(
        name,
        f"the secret {name}_{app} in the vault is not the password of the login {app}",
        f"mngdb secret set {name}_{app} stores the one that it has",
    )


def closed(asked: DesiredInstance, login: Login, owns: str = "") -> Notice:
    """A login whose app left the file is there yet; an open one is closed by the same command, but
    on an adopted server. `owns`: what keeps it from being dropped."""
    label, can = _label(asked, login), "cannot"
    then = ", and the role once it owns nothing" if owns else ", never data"
    hint = f"'mngdb up --prune' drops the login{then}"
    if asked.instance.adopt:
        # nothing closes it, nor does --prune alone drop it
        hint = f"mngdb up --prune --allow {named(label)} drops the login{then}"
        if login.open:
            can = "can still"
            hint += "; without --prune it is disabled"
    text = f"the login {login.name} has no app in the file{f' and owns {owns}' if owns else ''}"
    alike = f"logins that have no app in the file{', own data' if owns else ''} and {can} log in:"
    return Notice(asked.instance.name, f"{text}; it {can} log in", hint, label, alike)


def namesakes(asked: DesiredInstance, found: Iterable[Login]) -> Iterator[Notice]:
    """The logins of another project whose stack has the same name, which stay as they are."""
    by: dict[str, list[str]] = {}
    for login in found:
        if login.mark and _namesakes(asked, login) and not login.agrees:
            by.setdefault(login.mark, []).append(login.name)
    for mark, names in sorted(by.items()):
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield Notice(
            asked.instance.name,
            f"another stack that is named {asked.stack}, {mark.replace('/', '-')}, made the logins "
            f"{', '.join(names[:_SHOWN])}{more}: they stay as they are",
            "give one of the two another name; if it is this project, whose state was lost: "
            f"mngdb up --allow {named(_label(asked, Login(names[0])))}, for each that the file has",
        )


def reported(
    asked: DesiredInstance, login: Login, powers: str, *, more: str = "", reopen: str = ""
) -> Notice:
    """A login that the file does not name, with what it may do. `reopen`: what opens it again."""
    text, then = f"the login {login.name} is not in the file", "make it an app, or close it"
    if login.mark is not None:
        text = f"the login {login.name} belongs to the stack {login.stack} of another project"
        then = "it stays as it is; once nobody needs it, close it"
    text += (f" ({powers})" if powers else "") + more
    hint = f"{then}: mngdb up --allow {shlex.quote(login.name)}"
    return Notice(asked.instance.name, text, hint + (f" ({reopen})" if reopen else ""))


def _strangers(asked: DesiredInstance, login: Login) -> bool:
    """Whether the stack of another project made a login, which has this server as an external one:
    a server of ours may have had another name, and no ID."""
    stack, _, number = (login.mark or "").partition("/")
    other = number not in {"", asked.id}
    return other if asked.managed else bool(stack) and (other or stack != asked.stack)


def _namesakes(asked: DesiredInstance, login: Login) -> bool:
    """Whether another stack of this one's name made a login on a server of others."""
    return not asked.managed and login.stack == asked.stack and _strangers(asked, login)


def _label(asked: DesiredInstance, login: Login) -> str:
    """How plans name it: `role shop`."""
    return ENGINE_INFO[asked.instance.engine].login + login.name
