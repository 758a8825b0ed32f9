"""Who asks Atlas: a service account (OAuth client credentials), or a pair of API keys (digest).

A token lives for an hour and the endpoint that gives it is limited itself: it is fetched once, and
kept with the stack's state until it ends.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from mngdb import disk
from mngdb.errors import MngdbError, SecretError, UsageError
from mngdb.secret import Secret
from mngdb.targets.atlas.errors import ACCOUNT, KEYS, Login

if TYPE_CHECKING:
    import httpx

#: The vault's names, and the variables of Atlas' own command line.
ID, SECRET = ACCOUNT.name, ACCOUNT.secret
PUBLIC, PRIVATE = KEYS.name, KEYS.secret
_VARIABLES = {
    ID: "MONGODB_ATLAS_CLIENT_ID",
    SECRET: "MONGODB_ATLAS_CLIENT_SECRET",
    PUBLIC: "MONGODB_ATLAS_PUBLIC_API_KEY",
    PRIVATE: "MONGODB_ATLAS_PRIVATE_API_KEY",
}
#: Seconds before its end at which a token is not used any more.
_EARLY = 60


class Credentials(Struct, frozen=True):
    """A name and its secret. `account`: of a service account; else they are API keys."""

    name: str
    secret: Secret
    account: bool

    @property
    def login(self) -> Login:
        """The same for hints."""
        return ACCOUNT if self.account else KEYS


def credentials(vault: Callable[[str], Secret | None], environ: Mapping[str, str]) -> Credentials:
    """The first that are whole: of the vault, then of the environment. Raises SecretError."""

    def of_environment(name: str) -> Secret | None:
        value = environ.get(_VARIABLES[name], "")
        return Secret(value) if value else None

    for source in (vault, of_environment):
        for first, second in ((ID, SECRET), (PUBLIC, PRIVATE)):
            name, secret = source(first), source(second)
            if name is not None and secret is not None:
                return Credentials(name.reveal(), secret, account=first == ID)
            if name is not None or secret is not None:
                there, missing = (first, second) if name is not None else (second, first)
                raise SecretError(
                    f"the secret {missing} is missing; {there} is there",
                    f"mngdb secret set {missing}",
                )
    raise SecretError(
        "there are no credentials for Atlas",
        f"make a service account (Atlas: Organization, Applications), then: mngdb secret set {ID} "
        f"and mngdb secret set {SECRET}; or set {_VARIABLES[ID]} and {_VARIABLES[SECRET]}",
    )


class Tokens:
    """Gives the service account's token. May be used by several threads."""

    def __init__(
        self, given: Credentials, folder: Path, url: str, fetch: Callable[[], tuple[str, float]]
    ) -> None:
        """`fetch` gives a new one and the seconds that it lives. It is kept in `folder`, where that
        is there."""
        self._file = folder / "token"
        self._fetch = fetch
        self._guard = threading.Lock()
        self._token: tuple[str, float] | None = None
        # another secret of the same account may have been given up for a reason
        known = f"{url}\n{given.name}\n{given.secret.reveal()}"
        self._whose = hashlib.sha256(known.encode()).hexdigest()

    def token(self, refused: str = "") -> str:
        """A token, other than the one that Atlas `refused`."""
        with self._guard:
            found = self._token or self._kept()
            if found is None or found[0] == refused or found[1] < time.time() + _EARLY:
                found = self._new()
            self._token = found
            return found[0]

    def _kept(self) -> tuple[str, float] | None:
        try:
            found = json.loads(disk.read_own(self._file) or "{}")
            if found.get("whose") == self._whose:
                return str(found["token"]), float(found["until"])
        except (
            OSError,
            UsageError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
        ):
            pass
        return None

    def _new(self) -> tuple[str, float]:
        token, seconds = self._fetch()
        found = token, time.time() + seconds
        if self._file.parent.parent.is_dir():  # `plan` of a new stack makes no folder
            disk.folder(self._file.parent)
            kept = {"whose": self._whose, "token": token, "until": found[1]}
            disk.write(self._file, json.dumps(kept))
        return found


def token_of(answer: httpx.Response) -> tuple[str, float]:
    """The token of an answer, and the seconds that it lives. Raises MngdbError."""
    try:
        found = answer.json()
        return str(found["access_token"]), float(found["expires_in"])
    except (ValueError, TypeError, KeyError):
        raise MngdbError("Atlas gave a token that cannot be read") from None
