"""JWTs that are signed with the current key and verified with the current or the previous one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mngdb.client.sources import SIGNING_KEYS, SettingsError

if TYPE_CHECKING:
    from mngdb.client.settings import Settings

_ALGORITHM = "HS256"
#: Seconds between two readings of the settings because of tokens of unknown keys: anybody may send
#: those.
_PAUSE = 5.0


class Tokens:
    """Signs and verifies with the keys of the settings: JWT_CURRENT, JWT_PREVIOUS."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError without PyJWT."""
        try:
            import jwt
        except ImportError:
            raise SettingsError("JWTs need PyJWT: pip install 'mngdb[client]'") from None
        self._jwt = jwt
        self._settings = settings
        self._asked = 0.0

    def sign(self, claims: Mapping[str, Any], lifetime: float) -> str:
        """See Settings.sign."""
        key = self._settings.get("JWT_CURRENT")
        if not key:
            raise SettingsError("there is no JWT_CURRENT in the settings")
        now = int(time.time())
        whole = {"iat": now, "exp": now + int(lifetime), **claims}
        return self._jwt.encode(whole, key, _ALGORITHM)

    def verify(self, token: str, **options: Any) -> dict[str, Any]:
        """See Settings.verify."""
        keys = self._keys()
        try:
            return self._tried(token, keys, options)
        except self._jwt.InvalidSignatureError:
            # another process may sign with a key that is newer than what we have
            newer = self._newer(keys)
            if newer == keys:
                raise
        return self._tried(token, newer, options)

    def _newer(self, keys: list[str]) -> list[str]:
        """The keys, read anew unless that was just done."""
        newer = self._keys()
        if newer == keys and time.monotonic() - self._asked >= _PAUSE:
            self._settings.refresh()
            self._asked = time.monotonic()  # afterwards: who comes meanwhile waits for the answer
            newer = self._keys()
        return newer

    def _tried(self, token: str, keys: list[str], options: Mapping[str, Any]) -> dict[str, Any]:
        wrong: Exception | None = None
        given = dict(options.get("options") or {})
        given["require"] = ["exp", *given.get("require", ())]
        for key in keys:
            try:
                found: dict[str, Any] = self._jwt.decode(
                    token, key, algorithms=[_ALGORITHM], **{**options, "options": given}
                )
            except self._jwt.InvalidSignatureError as error:
                wrong = error
            else:
                return found
        raise wrong or SettingsError("there is no JWT_CURRENT in the settings")

    def _keys(self) -> list[str]:
        """Both as they are at one moment."""
        found = self._settings.snapshot()
        return [found[name] for name in SIGNING_KEYS if found.get(name)]
