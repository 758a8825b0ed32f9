"""What mngdb made in Atlas and what cannot carry a mark there, in the stack's state.

An intent is written before the request, and what came of it after: a command that was killed
between the two leaves the intent, and the next one finds by it what was made.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from pathlib import Path

from mngdb import disk
from mngdb.errors import UsageError
from mngdb.secret import Secret

_FILE = "journal.json"


class Journal:
    """Notes by kind and key: `role mngdb-shop`, `alert cpu`. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._guard = threading.Lock()

    @property
    def empty(self) -> bool:
        """Whether nothing was ever made."""
        return not self._read()

    def of(self, kind: str) -> dict[str, str]:
        """Key to note, of one kind: an id, or an intent without one (empty)."""
        return dict(self._read().get(kind, {}))

    def knows(self, kind: str, key: str) -> bool:
        """Whether mngdb made it, or was about to."""
        return key in self.of(kind)

    def write(self, kind: str, key: str, note: str = "") -> None:
        """Keep a note; an empty one is an intent."""
        with self._guard:
            found = self._read()
            found.setdefault(kind, {})[key] = note
            self._keep(found)

    def forget(self, kind: str, key: str) -> None:
        """It is not there any more."""
        with self._guard:
            found = self._read()
            found.get(kind, {}).pop(key, None)
            self._keep({name: notes for name, notes in found.items() if notes})

    def sealed(self, kind: str, key: str, secret: Secret) -> None:
        """Note that Atlas was given this secret, which nobody can read from the note."""
        salt = secrets.token_hex(16)
        self.write(kind, key, f"{salt}:{_digest(salt, secret)}")

    def matches(self, kind: str, key: str, secret: Secret) -> bool:
        """Whether Atlas was given this very secret."""
        salt, _, digest = self.of(kind).get(key, "").partition(":")
        return bool(digest) and hmac.compare_digest(digest, _digest(salt, secret))

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(disk.read_own(self._file) or "{}")
            return {
                str(kind): {str(key): str(note) for key, note in notes.items()}
                for kind, notes in found.items()
            }
        except (ValueError, AttributeError):
            raise UsageError(
                f"{self._file} is damaged",
                "remove it; what it knew of is then taken over by 'mngdb up --allow NAME'",
            ) from None

    def _keep(self, notes: dict[str, dict[str, str]]) -> None:
        disk.folder(self._file.parent)
        disk.write(self._file, json.dumps(notes, indent=1) + "\n")


def _digest(salt: str, secret: Secret) -> str:
    """Slow enough for a password that a person chose."""
    import hashlib

    key = hashlib.scrypt(secret.reveal().encode(), salt=bytes.fromhex(salt), n=1 << 12, r=8, p=1)
    return key.hex()
