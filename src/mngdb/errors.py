"""The one error tree: a sentence, a hint, an exit code.

Exit codes are part of the command line's contract:
0 good, 1 failed, 2 wrong usage or file, 3 could not be observed.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from mngdb.room import NO_INODES, lacking


class MngdbError(Exception):
    """Something failed. `message` is one sentence, `hint` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @classmethod
    def together(cls, errors: Iterable[MngdbError]) -> Self:
        """Several as one: who mends them wants to know of all, and of each once."""
        every = [*errors]
        texts = dict.fromkeys(one.message for one in every)
        hints = dict.fromkeys(one.hint for one in every if one.hint)
        return cls("; ".join(texts), "; ".join(hints) or None)


def of_system(error: OSError | MngdbError) -> MngdbError:
    """What the operating system refused, as a sentence; an error of ours is one already."""
    if isinstance(error, MngdbError):
        return error
    where = f"{error.filename}: " if error.filename else ""
    hint = None
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "free space, then run the same command again"
        why = lacking(os.path.dirname(error.filename)) if error.filename else ""  # noqa: PTH120
        if why.endswith(NO_INODES):
            hint = f"{why}: remove files there ('df -i' shows the count), then run it again"
    elif error.errno == errno.EROFS:
        hint = "the file system is mounted read-only: remount it read-write, then try again"
    elif error.errno in {errno.EACCES, errno.EPERM}:
        closed = _closed(Path(error.filename)) if error.filename else None
        hint = "run mngdb as the owner of the stack, in a folder that it can write to"
        if closed is not None:
            hint = f"chmod u+rwX {shlex.quote(str(closed))}"
    return MngdbError(f"{where}{error.strerror or error}", hint)


def _closed(path: Path) -> Path | None:
    """The first on the way to a path that is our own, and whose mode keeps us out."""
    for one in (*reversed(path.parents), path):
        try:
            found = one.lstat()
        except OSError:
            return None
        needed = 0o400 if stat.S_ISREG(found.st_mode) else 0o500 if one == path else 0o100
        if found.st_uid == os.geteuid() and found.st_mode & needed != needed:
            return one
    return None


class UsageError(MngdbError):
    """The command was given wrongly, or a file or secret it needs is wrong."""

    exit_code = 2


class ForeignError(UsageError):
    """The stack, or the file that describes it, belongs to another account: `owner`, its number."""

    def __init__(self, message: str, hint: str, owner: int) -> None:
        super().__init__(message, hint)
        self.owner = owner


class InterruptError(MngdbError):
    """Ctrl-C ended a command that changes things."""

    exit_code = 130

    def __init__(
        self,
        message: str = "interrupted; completed steps are kept",
        hint: str | None = "run the same command again to finish",
    ) -> None:
        super().__init__(message, hint)


class SpecError(UsageError):
    """The file is wrong. `message` holds one line per problem: file:line:column: what."""


class SecretError(UsageError):
    """A secret is missing, empty, unreadable or readable by others."""


class UnobservableError(MngdbError):
    """A server could not be asked; nothing is known, neither good nor bad."""

    exit_code = 3


class UnreachableError(UnobservableError):
    """What leads to a server, a Docker engine, is away; whether the server runs is unknown."""


class OtherEngineError(UnreachableError):
    """The Docker engine is not the one that the stack was made on: of its servers nothing is known
    there, and nothing may be done."""

    exit_code = 1


class AbsentError(MngdbError):
    """A provider's server that no `up` has made yet."""


#: Why a login did not succeed, the same in every engine.
#: - down: nobody answers; halted: it was told to wait; starting: it reads its data; stopping: it
#:   was asked to end; busy: it does not answer in time; tls: the sides do not agree on encryption,
#:   or a certificate is wrong
#: - stranger: who answers did not prove to be the server, and was given no secret
#: - auth: the login is not known, or its secret is another; hba: no login may come from here
#: - database: this one cannot be entered, others can; library: a setting has every session load
#:   one that is not there; limit: it has all the connections that it takes; quota: the login or the
#:   database has all that it may have, others get in
#: - disk, memory: it is full, and nothing can be written; primary: no member of its set takes
#:   writes
Kind = Literal[
    "down",
    "halted",
    "starting",
    "stopping",
    "busy",
    "tls",
    "stranger",
    "auth",
    "hba",
    "database",
    "library",
    "limit",
    "quota",
    "disk",
    "memory",
    "primary",
    "other",
]


class ConnectError(UnobservableError):
    """A login to a server did not succeed. `kind` names the cause for the diagnosis."""

    def __init__(self, message: str, hint: str | None = None, kind: Kind = "other") -> None:
        super().__init__(message, hint)
        self.kind: Kind = kind


class StepError(MngdbError):
    """A step could not be done; the server is as it was before that step."""


class LackingError(StepError):
    """The server lacks what the file asks for, and 'up' cannot add it. An app works without."""


class FillingError(StepError):
    """A server that is being filled (`Instance.filling`) takes no such data; one that was started
    as usual does."""


class OvertakenError(StepError):
    """Somebody else did it at the same moment, as a rule a command that was killed whose statement
    went on: the server has to be looked at again."""


class LockedError(MngdbError):
    """Another mngdb works on this stack right now: `holder`, in words."""

    def __init__(self, message: str, hint: str | None = None, holder: str = "") -> None:
        super().__init__(message, hint)
        self.holder = holder
