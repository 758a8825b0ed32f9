"""A Redis log that was cut anywhere ends with a whole command."""

from __future__ import annotations

import hiredis
import pytest

from mngdb.engines.redis.commands import complete
from mngdb.errors import StepError


def pack(*words: str) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed


SINGLE = pack("SET", "a", "\r\n*1\r\n$5\r\nMULTI\r\n")
BLOCK = pack("multi") + pack("SET", "b", "1") + pack("EXEC")
LOG = SINGLE + BLOCK + SINGLE
ENDS = (0, len(SINGLE), len(SINGLE + BLOCK), len(LOG))


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_what_is_cut_off_is_left_out(step: int) -> None:
    for length in range(len(LOG) + 1):
        pieces = [LOG[at : min(at + step, length)] for at in range(0, length, step)]
        whole = max(one for one in ENDS if one <= length)
        assert b"".join(complete(pieces)) == LOG[:whole]


def test_bytes_that_are_no_command_are_told() -> None:
    with pytest.raises(StepError):
        list(complete([SINGLE + b"x" * 20]))
