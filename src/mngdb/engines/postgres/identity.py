"""A copied cluster gets an identity of its own.

Backups, archives and replicas know a cluster by its system identifier. PostgreSQL's own
pg_createsubscriber gives a copy a new one in the same two moves: another number in `pg_control`,
then `pg_resetwal`, which writes it into a new log.
"""

from __future__ import annotations

import os
import struct
import time

#: The Castagnoli polynomial, reflected (src/port/pg_crc32c_sb8.c).
_POLYNOMIAL = 0x82F63B78
#: Where the checksum of `pg_control` may stand: behind the data, which no version has longer.
_CHECKSUM_AT = range(200, 512, 4)


def renew(control: bytes) -> bytes:
    """The content of `pg_control` with another system identifier. Raises ValueError when it is not
    what PostgreSQL wrote."""
    sums = _checksums(control[: _CHECKSUM_AT.stop])
    for end in _CHECKSUM_AT:
        if end + 4 <= len(control) and sums[end] == struct.unpack_from("=I", control, end)[0]:
            break
    else:
        raise ValueError("no checksum in it fits")
    data = struct.pack("=Q", _identifier()) + control[8:end]
    return data + struct.pack("=I", _checksums(data)[end]) + control[end + 4 :]


def _identifier() -> int:
    """As initdb makes it (xlog.c, BootStrapXLOG): seconds, microseconds, and here chance for the
    process id, since several copies may be made by one process."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    chance = int.from_bytes(os.urandom(2)) & 0xFFF
    return (seconds << 32) | (rest // 1000 << 12) | chance


def _checksums(data: bytes) -> list[int]:
    """CRC-32C of every beginning of `data`, by its length."""
    found, register = [0], 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (_POLYNOMIAL if register & 1 else 0)
        found.append(register ^ 0xFFFFFFFF)
    return found
