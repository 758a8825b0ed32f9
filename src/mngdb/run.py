"""The one door to subprocesses: argv lists, a time limit, no secret in argv.

Secrets reach a child by standard input, its environment or a file of mode 0600.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from msgspec import Struct

from mngdb import stopping
from mngdb.errors import MngdbError
from mngdb.log import say, timed

#: Writes who it is (pid, start, boot), then becomes the server under the same pid. What it got as
#: standard input is open until then: the caller's lock, so that nobody looks before the file is
#: whole.
_LAUNCHER = (
    'umask 077; { echo $$ && cat "/proc/$$/stat" && cat /proc/sys/kernel/random/boot_id; } '
    '> "$0" && exec "$@" < /dev/null'
)
#: What a server's own programs need of an environment: what they write is read by mngdb.
BARE = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class Account(Struct, frozen=True):
    """An operating system account that a child runs as."""

    name: str
    uid: int
    gid: int


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    account: Account | None = None,
    cwd: Path | None = None,
    check: bool = True,
    errors: str = "replace",
    program: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` for at most `timeout` seconds and return what it printed; `errors` as Python has
    it, for what is no UTF-8. `program` is the file to run, if `argv[0]` is only what it is called.

    Raises MngdbError when the program is missing, too slow, or (with `check`) exits non-zero;
    the error carries the last line that the program printed.
    """
    try:
        with (
            timed(__name__, lambda: shlex.join(argv)),
            subprocess.Popen(
                list(argv),
                executable=program,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors=errors,
                cwd=cwd,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            ) as child,
        ):
            done = _ended(child, stdin, timeout)
    except FileNotFoundError as error:
        raise MngdbError(f"program not found: {argv[0]}") from error
    except PermissionError as error:
        raise MngdbError(f"not allowed to run {argv[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise MngdbError(f"{Path(argv[0]).name} did not end within {timeout:g} s") from error
    if check and done.returncode != 0:
        raise MngdbError(
            f"{Path(argv[0]).name} failed with exit code {done.returncode}: "
            + last_line(done.stderr or done.stdout)
        )
    return done


def _ended(
    child: subprocess.Popen[str], stdin: str | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """What the child printed. Raises subprocess.TimeoutExpired."""
    try:
        with stopping.ended_by(child.kill):
            out, err = child.communicate(stdin, timeout)
    except BaseException:
        child.kill()
        raise
    stopping.check()
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def spawn(
    argv: Sequence[str],
    *,
    pidfile: Path,
    log: int,
    env: Mapping[str, str],
    account: Account | None = None,
    cwd: Path | None = None,
    hold: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own; it outlives us. `log` is the handle of a file that
    is open to append.

    The pid is written before the program starts, and `hold`, the handle of a lock, stays open until
    then: no moment exists at which a server runs that the next command would not find.
    """
    stopping.check()
    say(__name__, f"start {shlex.join(argv)}")
    launcher = ["/bin/sh", "-c", _LAUNCHER, str(pidfile), *argv]
    return subprocess.Popen(
        launcher,
        stdin=subprocess.DEVNULL if hold is None else hold,
        stdout=log,
        stderr=log,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def attended(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own that sees by the end of its standard input when we
    end, and outlives us. Its standard error is ours."""
    say(__name__, f"start {shlex.join(argv)}")
    return subprocess.Popen(
        list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


@contextlib.contextmanager
def reading(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
) -> Iterator[IO[bytes]]:
    """Standard output of a program, as it comes. Leaving ends the program, also half-way, and so do
    `timeout` seconds."""
    say(__name__, shlex.join(argv))
    with (
        subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            env=dict(env),
        ) as child,
        stopping.late(timeout, child.kill),
    ):
        try:
            yield cast(IO[bytes], child.stdout)
        finally:
            child.kill()


@contextlib.contextmanager
def heard(
    argv: Sequence[str], timeout: float
) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """A program, and the lines of its standard output and error as they come. By the end of its
    standard input it sees when we end. Leaving waits for its end; `timeout` seconds are one."""
    say(__name__, shlex.join(argv))
    with (
        subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as child,
        stopping.late(timeout, child.kill),
    ):
        yield child, iter(cast(IO[str], child.stdout))


@contextlib.contextmanager
def streamed(argv: Sequence[str], *, env: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """Standard output of a program, to be read to its end, however long that takes. Leaving before
    ends the program. Raises MngdbError when it is missing, or exits non-zero; the error carries the
    last error of its standard error, else the last line."""
    say(__name__, shlex.join(argv))
    with tempfile.TemporaryFile() as told:
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=told,
                env=dict(env),
            )
        except FileNotFoundError as error:
            raise MngdbError(f"program not found: {argv[0]}") from error
        with child:
            try:
                with stopping.ended_by(child.kill):
                    yield cast(IO[bytes], child.stdout)
                    code = child.wait()
            except BaseException:
                child.kill()
                raise
        stopping.check()
        if code:
            told.seek(0)
            text = told.read().decode(errors="replace")
            errors = [line for line in text.splitlines() if ": error: " in line]
            text = last_line(errors[-1] if errors else text)  # hints follow it
            raise MngdbError(f"{Path(argv[0]).name} failed with exit code {code}: {text}")


#: What `last_line` makes of silence.
NOTHING = "no output"


def last_line(text: str) -> str:
    """The last line of `text` that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else NOTHING
