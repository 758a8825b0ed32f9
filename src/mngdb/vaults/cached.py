"""A vault that is asked once for all that a stack needs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from mngdb.secret import Secret
from mngdb.vaults import VERSIONS, Entry, Vault, Version


class CachedVault:
    """Passes everything on, but remembers what it read. May be used by several threads."""

    def __init__(
        self,
        vault: Vault,
        needed: Callable[[], Iterable[str]],
        *,
        keep: bool = True,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`needed` are the names whose current secrets are asked for together at the first
        question. Without `keep` it remembers current secrets alone, for as long as the vault calls
        an answer fresh: for what runs on while secrets change. `check` raises SecretError where
        what this vault has does not count."""
        self._vault = vault
        self._check = check
        self._needed = needed
        self._keep = math.inf if keep else vault.fresh
        self._asked = 0.0
        self._guard = threading.Lock()
        self._known: dict[Version, dict[str, Entry | None]] = {version: {} for version in VERSIONS}

    def get(self, name: str) -> Secret | None:
        """The current secret, or None if there is none. Raises SecretError if it cannot be used."""
        entry = self.get_many([name]).get(name)
        return None if entry is None else entry.usable()

    def trust(self) -> None:
        """Leave out the `check`: for whoever compares what is there, or moves secrets here."""
        self._check = lambda: None

    def forget(self) -> None:
        """Ask again at the next question."""
        self._forget(VERSIONS)

    def _forget(self, versions: Iterable[Version]) -> None:
        with self._guard:
            for version in versions:
                self._known[version].clear()

    @property
    def fresh(self) -> float:
        return self._keep

    @property
    def folder(self) -> Path | None:
        return self._vault.folder

    def get_many(self, names: Iterable[str], version: Version = "current") -> dict[str, Entry]:
        self._check()
        current = version == "current"
        if not self._keep or (not current and self._keep < math.inf):
            return self._vault.get_many(names, version)
        names, known = list(names), self._known[version]
        with self._guard:
            if time.monotonic() - self._asked > self._keep:
                known.clear()
            unknown = [name for name in names if name not in known]
            if unknown:
                if current and not known:
                    self._asked = time.monotonic()
                    unknown = [*dict.fromkeys([*unknown, *self._needed()])]
                found = self._vault.get_many(unknown, version)
                known.update((name, found.get(name)) for name in unknown)
            return {name: entry for name in names if (entry := known[name]) is not None}

    def put(
        self, secrets: Mapping[str, Secret], version: Literal["current", "pending"] = "current"
    ) -> None:
        self._check()
        self._vault.put(secrets, version)
        known = self._known[version]
        with self._guard:
            if known:
                now = time.time()
                known.update((n, Entry(secret, changed=now)) for n, secret in secrets.items())

    def promote(self, names: Sequence[str]) -> None:
        self._vault.promote(names)
        self._forget(("current", "previous"))
        with self._guard:
            self._known["pending"].update(dict.fromkeys(names))

    def delete(self, names: Sequence[str], versions: Sequence[Version] = VERSIONS) -> None:
        self._vault.delete(names, versions)
        self._forget(versions)

    @property
    def writable(self) -> bool:
        return self._vault.writable

    @property
    def stands_in(self) -> bool:
        return self._vault.stands_in

    def check_writable(self, names: Sequence[str]) -> None:
        self._vault.check_writable(names)

    def publish(self, app: str, settings: Mapping[str, str]) -> None:
        self._vault.publish(app, settings)

    def published(self, apps: Iterable[str]) -> dict[str, dict[str, str]]:
        return self._vault.published(apps)

    def unpublish(self, app: str) -> None:
        self._vault.unpublish(app)

    def documents(self, apps: Iterable[str]) -> list[Path]:
        return self._vault.documents(apps)

    def where(self, name: str) -> str:
        return self._vault.where(name)

    def files(self, names: Iterable[str]) -> list[Path]:
        return self._vault.files(names)

    def exposed(self, names: Iterable[str], apps: Iterable[str]) -> list[str] | None:
        return self._vault.exposed(names, apps)

    def variables(self, names: Iterable[str]) -> list[str]:
        return self._vault.variables(names)
