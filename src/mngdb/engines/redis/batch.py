"""Commands for a Redis server without a prompt: the arguments are one, or each line of standard
input is. The login is in the environment. It asks nothing else, so that it gets through to a server
that is BUSY. As redis-cli does, it prints values as they are, but quotes them on a terminal.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import hiredis

from mngdb.engines.redis.prompt import STREAMS, shower, shown
from mngdb.engines.redis.wire import Wire, pack, raw_reader
from mngdb.errors import UsageError
from mngdb.model import Access
from mngdb.secret import Secret
from mngdb.words import harmless

#: Seconds that a connection may take. An answer may take as long as it likes: BLPOP waits.
_TIMEOUT = 30.0
#: Gives the next answer to a command as it is printed, and whether it is an error.
_Read = Callable[[Sequence[str]], tuple[bytes, bool]]


def access() -> Access:
    """The login, as `RedisEngine.shell` hands it over."""
    at = os.environ
    secret = at.get("REDISCLI_AUTH")
    return Access(
        engine="redis",
        host=at["MNGDB_REDIS_HOST"],
        port=int(at["MNGDB_REDIS_PORT"]),
        user=at["MNGDB_REDIS_USER"],
        password=Secret(secret) if secret else None,
        database=at["MNGDB_REDIS_DATABASE"],
        tls=bool(at["MNGDB_REDIS_TLS"]),
        ca=at["MNGDB_REDIS_CA"] or None,
    )


def environment(at: Access) -> dict[str, str]:
    """What `access` reads, but for the secret."""
    found = {"HOST": at.host, "PORT": str(at.port), "USER": at.user, "DATABASE": at.database}
    found |= {"TLS": "yes" * at.tls, "CA": at.ca or ""}
    return {f"MNGDB_REDIS_{name}": value for name, value in found.items()}


def main(words: Sequence[str]) -> int:
    """Ask, print, and say by the exit code whether Redis refused a command."""
    try:
        return _run([words] if words else filter(None, map(_split, sys.stdin)))
    except UsageError as error:
        print(f"error: standard input: {error.message}", file=sys.stderr)
        return 2
    except (RecursionError, hiredis.ProtocolError) as error:  # a script may nest lists, say
        print(f"error: the answer cannot be read: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0  # the reader closed the pipe
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # SHUTDOWN answers by hanging up
        print(f"Redis closed the connection: {error}", file=sys.stderr)
        return 1


def _split(line: str) -> list[str]:
    """The words of a line, quoted as for a shell. Raises UsageError."""
    try:
        return shlex.split(line)
    except ValueError:
        raise UsageError("a quote is not closed, or nothing follows a backslash") from None


def _run(commands: Iterable[Sequence[str]]) -> int:
    at, code = access(), 0
    wire = Wire(at, _TIMEOUT)
    hello = [["AUTH", at.user, at.password.reveal()]] if at.password else []
    hello += [["SELECT", at.database]] if at.database not in {"", "0"} else []
    wire.ask(hello)
    wire.limit(None)
    read = (_for_people if sys.stdout.isatty() else _as_it_is)(wire)
    for command in commands:
        wire.send(pack(command))
        while True:
            answer, refused = read(command)
            try:
                sys.stdout.buffer.write(answer + b"\n")
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                raise
            except OSError as error:  # a full disk, say: nothing that the server did
                print(f"error: standard output: {error.strerror}", file=sys.stderr)
                return 1
            if refused:
                code = 1
                break
            if command[0].lower() not in STREAMS:
                break
    return code


def _for_people(wire: Wire) -> _Read:
    """On a terminal an app's values and keys are quoted: no command, no line of their own."""
    answers = wire.bytes()

    def read(command: Sequence[str]) -> tuple[bytes, bool]:
        answer = harmless(shown(answers, shower(command)))
        return answer.encode(), answer.startswith("(error) ")

    return read


def _as_it_is(wire: Wire) -> _Read:
    reader = raw_reader()

    def read(_: Sequence[str]) -> tuple[bytes, bool]:
        (answer,) = wire.answers(1, reader)
        return _shown(answer), isinstance(answer, hiredis.ReplyError)

    return read


def _shown(answer: Any) -> bytes:
    if isinstance(answer, hiredis.ReplyError):
        return f"(error) {answer}".encode()
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer, list | tuple):
        return b"\n".join(map(_shown, answer))
    return b"" if answer is None else str(answer).encode()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # what a closed pipe left unwritten is not tried again
    os._exit(code)
