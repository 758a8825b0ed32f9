"""What mngdb made in Atlas and what cannot carry a mark there, in the stack's state.

An intent is written before the request, and what came of it after: a command that was killed
between the two leaves the intent, and the next one finds by it what was made. What was there when
the intent was written is somebody else's, whatever it looks like; and a request that was refused
leaves no intent.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mngdb import disk
from mngdb.errors import OvertakenError, StepError, UsageError
from mngdb.secret import Secret

_FILE = "journal.json"
#: What the note of an intent begins with; the ids of what was there follow.
_INTENT = "making"


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
        """Key to note, of one kind: an id, or an intent."""
        return dict(self._read().get(kind, {}))

    def knows(self, kind: str, key: str) -> bool:
        """Whether mngdb made it, or was about to."""
        return key in self.of(kind)

    def ours(self, kind: str, key: str, known: str) -> bool:
        """Whether what has this id is what mngdb made; of an intent, whether it may be."""
        note = self.of(kind).get(key)
        if note is None or not self.intended(kind, key):
            return note == known
        return known not in note.split()

    def intended(self, kind: str, key: str) -> bool:
        """Whether nobody knows what came of it."""
        note = self.of(kind).get(key)
        return note is not None and note.partition(" ")[0] in {"", _INTENT}

    @contextmanager
    def making(self, kind: str, key: str, note: str) -> Iterator[None]:
        """Round the request that makes something, with what is to be noted before it."""
        self.write(kind, key, note)
        try:
            yield
        except OvertakenError:
            raise  # it may have been made
        except StepError:
            self.forget(kind, key)
            raise

    def write(self, kind: str, key: str, note: str) -> None:
        """Keep a note."""
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
        except (ValueError, AttributeError, RecursionError):
            raise UsageError(
                f"{self._file} is damaged",
                "remove it; what it knew of is then taken over by 'mngdb up --allow NAME'",
            ) from None

    def _keep(self, notes: dict[str, dict[str, str]]) -> None:
        disk.folder(self._file.parent)
        disk.write(self._file, json.dumps(notes, indent=1) + "\n")


def intent(others: Iterable[str] = ()) -> str:
    """The note of one. `others` are the ids of what there is of its kind already."""
    return " ".join([_INTENT, *others])


def _digest(salt: str, secret: Secret) -> str:
    """Slow enough for a password that a person chose."""
    import hashlib

    key = hashlib.scrypt(secret.reveal().encode(), salt=bytes.fromhex(salt), n=1 << 12, r=8, p=1)
    return key.hex()
