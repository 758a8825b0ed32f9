"""The history of drills as a chain: who changes a line, or takes one away, breaks it.

A line is JSON. `previous` is the SHA-256 of the line before it, and the last member the signature
(Ed25519, base64) of all that stands before that member. The key is made once, in the stack's own
folder: who may write there may sign, and what is signed is known to come from there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mngdb import disk
from mngdb.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KEY = "drills.key"
_SIGNATURE = b', "signature": "'
_END = b'"}'


class Checked(Struct, frozen=True):
    """What was found of a chain of so many lines. `begin`: whether it has its first line still: of
    a long history, the older half goes."""

    lines: int
    begin: bool
    problems: tuple[str, ...]


def link(state: Path, drill: Mapping[str, Any], previous: bytes) -> bytes:
    """The line of a drill, after the `previous` one (empty: the first). Raises UsageError,
    OSError."""
    data = {**drill, "previous": digest(previous) if previous else ""}
    head = json.dumps(data, ensure_ascii=False).encode(errors="surrogateescape").removesuffix(b"}")
    signature = base64.b64encode(_key(state).sign(head))
    return head + _SIGNATURE + signature + _END


def digest(line: bytes) -> str:
    """The SHA-256 of a line without its end, in hexadecimal digits."""
    return hashlib.sha256(line).hexdigest()


def check(state: Path, lines: Sequence[bytes]) -> Checked:
    """Whether lines are as they were written, and follow each other. Raises UsageError, OSError."""
    from cryptography.exceptions import InvalidSignature

    public = _key(state).public_key()
    problems = []
    for number, line in enumerate(lines, 1):
        head, found, rest = line.rpartition(_SIGNATURE)
        try:
            data = json.loads(line.decode(errors="surrogateescape"))
            signature = base64.b64decode(rest.removesuffix(_END), validate=True)
            public.verify(signature if found else b"", head)
        except (ValueError, RecursionError):
            problems.append(f"line {number} is damaged")
            continue
        except InvalidSignature:
            problems.append(f"line {number} was changed, or was not written by this stack")
            continue
        if number > 1 and data.get("previous") != digest(lines[number - 2]):
            problems.append(f"line {number} does not follow the line before it")
    begin = not lines or b', "previous": ""' in lines[0]
    return Checked(len(lines), begin, tuple(problems))


def public_key(state: Path) -> str:
    """What others verify signatures with, as PEM. Raises UsageError, OSError."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = _key(state).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _key(state: Path) -> Ed25519PrivateKey:
    """The private key, made where there is none; the caller holds the history's lock."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    text = disk.read_own(state / _KEY)
    if text is None:
        made = Ed25519PrivateKey.generate()
        disk.write(state / _KEY, made.private_bytes_raw().hex() + "\n")
        return made
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
    except ValueError:
        raise UsageError(
            f"{state / _KEY} is damaged", "restore it, or remove it together with drills.jsonl"
        ) from None
