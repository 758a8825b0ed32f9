"""The last good answers of AWS, encrypted on this machine, for a stack whose file has `fail_open`.

The key is in a file beside the stacks and bound to this machine: who finds the copy alone, in a
backup or on another machine, cannot read it. Who has this account can: the account could also ask
AWS.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError

_KEY = "vault-copies.key"
#: Bytes: a document of AWS in each of some thousand secrets is not larger.
_MOST = 1 << 24


#: A value, and when AWS answered it, in seconds since the epoch.
Dated = tuple[str, float]


class Copies:
    """The copy in a stack's state folder."""

    def __init__(self, state: Path) -> None:
        self._path = state / "vault-copy"
        # beside the folder of all stacks: a copy of a stack's folder does not take it along
        self._key_path = state.parent.parent / _KEY

    def keep(self, values: Mapping[str, Dated]) -> None:
        """Keep these values, and no others. A full disk is no reason to fail: those of before
        age."""
        from cryptography.fernet import Fernet

        if not self._path.parent.is_dir():
            return
        with contextlib.suppress(OSError, MngdbError):
            key = self._key(make=True)
            if key is not None:
                token = Fernet(key).encrypt(json.dumps(dict(values)).encode())
                disk.write(self._path, token.decode(), durable=False)

    def last(self) -> dict[str, Dated]:
        """What was kept; nothing where it cannot be read. Its dates are signed with it."""
        from cryptography.fernet import Fernet, InvalidToken

        with contextlib.suppress(
            OSError, MngdbError, InvalidToken, ValueError, TypeError, AttributeError
        ):
            key, token = self._key(), disk.read_own(self._path, limit=_MOST)
            if key is not None and token:
                found = json.loads(Fernet(key).decrypt(token))
                return {name: (str(value), float(at)) for name, (value, at) in found.items()}
        return {}

    def forget(self) -> None:
        """There shall be none."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _key(self, *, make: bool = False) -> bytes | None:
        found = disk.read_own(self._key_path)
        if not found and make:
            found = secrets.token_hex(32)
            disk.write(self._key_path, found)
        if not found:
            return None
        machine = disk.read_own(Path("/etc/machine-id"), owners=None) or ""
        mixed = hashlib.sha256(f"{found.strip()} {machine.strip()}".encode()).digest()
        return base64.urlsafe_b64encode(mixed)
