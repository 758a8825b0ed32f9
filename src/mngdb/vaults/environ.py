"""Secrets from the environment: something else (CI, systemd, a secrets manager) puts them there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from mngdb.errors import SecretError
from mngdb.secret import Secret
from mngdb.vaults import usable

_PREFIX = "MNGDB_SECRET_"


class EnvironVault:
    """`redis_chat-app` is the variable MNGDB_SECRET_REDIS_CHAT_APP."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def where(self, name: str) -> str:
        return _PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())

    def changed(self, name: str) -> float | None:
        return None  # the environment does not tell

    def get(self, name: str) -> Secret | None:
        value = self._environ.get(self.where(name))
        return None if value is None else usable(self.where(name), value)

    def check(self, names: Sequence[str]) -> NoReturn:
        variables = ", ".join(self.where(name) for name in names)
        one = len(names) == 1
        raise SecretError(
            f"the variable{'' if one else 's'} {variables} {'is' if one else 'are'} not set",
            "the vault 'environ' only reads; set it, or use 'vault: files'",
        )

    def make(self, name: str) -> Secret:
        self.check([name])

    def put(self, name: str, secret: Secret) -> None:
        self.check([name])
