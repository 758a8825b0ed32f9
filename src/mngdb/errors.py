"""The one error tree: a sentence, a hint, an exit code.

Exit codes are part of the command line's contract:
0 good, 1 failed, 2 wrong usage or file, 3 could not be observed.
"""

from __future__ import annotations

import errno
import os

from mngdb.room import NO_INODES, lacking


class MngdbError(Exception):
    """Something failed. `message` is one sentence, `hint` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # errors cross a pipe from the engines' worker processes
        return (type(self), (self.message, self.hint))


def of_system(error: OSError) -> MngdbError:
    """What the operating system refused, as a sentence."""
    where = f"{error.filename}: " if error.filename else ""
    hint = None
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "free space, then run the same command again"
        why = lacking(os.path.dirname(error.filename)) if error.filename else ""  # noqa: PTH120
        if why.endswith(NO_INODES):
            hint = f"{why}: remove files there ('df -i' shows how many), then run it again"
    elif error.errno == errno.EROFS:
        hint = "the file system is mounted read-only: remount it to be written to, and try again"
    elif error.errno in {errno.EACCES, errno.EPERM}:
        hint = "run mngdb as the owner of the stack, in a folder that it may write to"
    return MngdbError(f"{where}{error.strerror or error}", hint)


class UsageError(MngdbError):
    """The command was given wrongly, or a file or secret it needs is wrong."""

    exit_code = 2


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


class ConnectError(UnobservableError):
    """A login to a server did not succeed. `kind` names the cause for the diagnosis.

    Kinds: down, auth, hba, database, tls, disk, limit, memory, starting, halted, busy, other,
    library: a setting has every session load one that is not there, primary: the server answers
    and no member of its set takes writes, and stranger: who answers did not prove to be the
    server, and was given no secret.
    """

    def __init__(self, message: str, hint: str | None = None, kind: str = "other") -> None:
        super().__init__(message, hint)
        self.kind = kind

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.hint, self.kind))


class StepError(MngdbError):
    """A step could not be done; the server is as it was before that step."""


class LockedError(MngdbError):
    """Another mngdb works on this stack right now."""
