"""Secrets from the environment: something else (CI, systemd, a secrets manager) puts them there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn

from mngdb.errors import SecretError
from mngdb.secret import Secret
from mngdb.vaults import VERSIONS, Entry, Version, usable

_PREFIX = "MNGDB_SECRET_"
_HINT = "the vault 'environ' is read-only; set it there, or use 'vault: files'"


class EnvironVault:
    """`redis_chat-app` is the variable MNGDB_SECRET_REDIS_CHAT_APP. There is a current version
    alone, and nothing is written."""

    folder = None
    fresh = 0.0
    writable = False
    stands_in = False

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def where(self, name: str) -> str:
        return _PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())

    def files(self, names: Iterable[str]) -> list[Path]:
        return []

    def exposed(self, names: Iterable[str], apps: Iterable[str]) -> None:
        """It keeps no such rules."""

    def variables(self, names: Iterable[str]) -> list[str]:
        return [self.where(name) for name in names]

    def get_many(self, names: Iterable[str], version: Version = "current") -> dict[str, Entry]:
        there = [name for name in names if self.where(name) in self._environ]
        return {name: self._entry(self.where(name)) for name in there if version == "current"}

    def _entry(self, variable: str) -> Entry:
        try:
            return Entry(usable(variable, self._environ[variable]))
        except SecretError as error:
            return Entry(None, error)

    def check_writable(self, names: Sequence[str]) -> NoReturn:
        variables = ", ".join(self.variables(names))
        text = "variable {} is" if len(names) == 1 else "variables {} are"
        raise SecretError(f"the {text.format(variables)} not set", _HINT)

    def put(
        self, secrets: Mapping[str, Secret], version: Literal["current", "pending"] = "current"
    ) -> None:
        self._refuse(secrets)

    def promote(self, names: Sequence[str]) -> None:
        self._refuse(names)

    def delete(self, names: Sequence[str], versions: Sequence[Version] = VERSIONS) -> None:
        self._refuse(names)

    def publish(self, app: str, settings: Mapping[str, str]) -> NoReturn:
        raise SecretError(f"settings of {app} cannot be published in the environment", _HINT)

    def published(self, apps: Iterable[str]) -> dict[str, dict[str, str]]:
        return {}

    def unpublish(self, app: str) -> None:
        """There is nothing."""

    def documents(self, apps: Iterable[str]) -> list[Path]:
        return []

    def _refuse(self, names: Iterable[str]) -> NoReturn:
        variables = ", ".join(self.variables(names))
        raise SecretError(f"mngdb cannot change the environment ({variables})", _HINT)
