"""The biggest keys, measured again and better: MEMORY USAGE looked at five elements of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, stdev

from mngdb.engines.redis.client import RefusedError, Session
from mngdb.engines.redis.keys.names import shown
from mngdb.engines.redis.keys.tally import Candidate, Tally
from mngdb.engines.redis.wire import pack, raw_reader
from mngdb.facts.keys import BigKey

#: Elements in a block of those looked at, and how many blocks: half a millisecond at most.
_BLOCK, _BLOCKS = 400, 8
#: Half the width of a 95 % interval, in standard errors of that many blocks.
_T = 2.365
_LENGTH = {
    **{"hash": "HLEN", "list": "LLEN", "set": "SCARD", "zset": "ZCARD"},
    **{"stream": "XLEN", "vectorset": "VCARD"},
}


def measure(session: Session, tally: Tally, top: int, idle_after: float) -> list[BigKey]:
    """The `top` biggest keys of each type, the biggest first. Corrects the tally. A key that is
    gone by now is left out. Raises ConnectError."""
    found = []
    # counting elements would be a use
    _ask(session, [[b"CLIENT", b"NO-TOUCH", b"ON"]])
    for kind, candidates in tally.candidates().items():
        keys = []
        for one in candidates:
            _ask(session, [[b"SELECT", b"%d" % one.database]])
            forever, idle = _life(session, one, idle_after)
            big = _measure(session, kind, one)
            if big is not None:
                tally.settle(kind, one, big.bytes, forever, idle)
                keys.append(big)
        found += sorted(keys, key=lambda big: -big.bytes)[:top]
    return sorted(found, key=lambda big: -big.bytes)


def _life(session: Session, one: Candidate, idle_after: float) -> tuple[bool | None, bool | None]:
    """Whether it lives for ever and is idle. What was seen first counts: looking closer at a key
    later is not to make a difference."""
    forever, idle = one.forever, one.idle
    if forever is None:
        (life,) = _ask(session, [[b"PTTL", one.key]])
        forever = life == -1 if isinstance(life, int) else None
    if idle is None:
        (unused,) = _ask(session, [[b"OBJECT", b"IDLETIME", one.key]])
        idle = unused >= idle_after if isinstance(unused, int) else None
    return forever, idle


def _measure(session: Session, kind: str, one: Candidate) -> BigKey | None:
    length = _LENGTH.get(kind)
    if length is None:
        # a string is one piece; what a module tells of its types is all there is
        return BigKey(kind, one.database, shown(one.key), one.size, 0, None)
    (elements,) = _ask(session, [[length.encode(), one.key]])
    if not isinstance(elements, int) or elements == 0:
        return None
    at = [n * _BLOCK for n in range(1, _BLOCKS + 1)]
    samples = [0] if elements <= at[-1] else at
    sizes = []
    for n in samples:  # one at a time: others get their turn in between
        (size,) = _ask(session, [[b"MEMORY", b"USAGE", one.key, b"SAMPLES", b"%d" % n]])
        if not isinstance(size, int):
            return None
        sizes.append(size)
    error = _error(at, sizes, elements) if len(sizes) > 1 else 0
    return BigKey(kind, one.database, shown(one.key), sizes[-1], error, elements)


def _error(at: Sequence[int], sizes: Sequence[int], elements: int) -> int:
    """How far off the last size may be. Each looked at one block of elements more than the one
    before: what a block alone would have given follows, and how much blocks differ."""
    weighted = [0, *(n * size for n, size in zip(at, sizes, strict=True))]
    blocks = [(b - a) / _BLOCK for a, b in pairwise(weighted)]
    left = math.sqrt(max(0.0, 1 - at[-1] / elements))
    spread = stdev(blocks, fmean(blocks))
    # a size is told in whole bytes, which the product above makes more of
    return math.ceil(_T * spread / math.sqrt(_BLOCKS) * left)


def _ask(session: Session, commands: Sequence[Sequence[bytes]]) -> list[object]:
    session.send(b"".join(pack(words) for words in commands))
    try:
        return list(session.answers(len(commands), raw_reader()))
    except RefusedError:
        # it has become another type, or may not be asked: then it is not listed
        return [None] * len(commands)
