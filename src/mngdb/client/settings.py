"""Settings that follow a rotation without a restart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mngdb.client.forks import ForkLock
from mngdb.client.sources import SIGNING_KEYS, AwsSource, FileSource, SettingsError, Source

if TYPE_CHECKING:
    from mngdb.client.tokens import Tokens

__all__ = ["Settings", "SettingsError"]


class Settings(Mapping[str, str]):
    """The app's settings, read again when they change. May be used by several threads, also across
    a fork.

    Ask for a value each time that a connection is opened, and not once at the start: after a
    rotation it is another one. A file is looked at each time (one stat); AWS is asked again after
    `MNGDB_SETTINGS_AGE` seconds (30), and by `refresh()`.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Reads them. Raises SettingsError where they cannot be had."""
        self._environ = environ
        self._source = _source(environ)
        self._guard = ForkLock()
        self._tokens: Tokens | None = None
        self._found = self._source.read() if self._source is not None else {}

    def __getitem__(self, name: str) -> str:
        found = self._now()
        return found[name] if name in found else _rest(self._environ, found)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot())

    def __len__(self) -> int:
        return len(self.snapshot())

    def __repr__(self) -> str:
        return f"Settings({self._source or 'environment'})"  # no values

    def snapshot(self) -> dict[str, str]:
        """All of them as they are at one moment: for values that belong together, such as a user
        and a password. A URL has both in one value."""
        found = self._now()
        return {**_rest(self._environ, found), **found}

    def refresh(self) -> bool:
        """Read them anew, as after a refused login, and tell whether they have changed. Where that
        fails, those of before hold, and a warning is logged."""
        if self._source is None:
            return False
        before = self._found
        with self._guard():
            if self._found is before:  # else another thread has just done it
                self._found = self._source.again(before)
        return self._found != before

    def slow(self) -> bool:
        """Whether the next question takes long: it asks AWS anew. A file is read at once."""
        return self._source is not None and self._source.slow and self._source.due()

    def sign(self, claims: Mapping[str, Any], lifetime: float = 900.0) -> str:
        """A JWT (HS256) with these claims, signed with the current key; without `exp` it is valid
        for `lifetime` seconds. Raises SettingsError without a key."""
        return self._signer().sign(claims, lifetime)

    def verify(self, token: str, **options: Any) -> dict[str, Any]:
        """The claims of a JWT that the current or the previous key signed. `options` are those of
        PyJWT's decode: audience, issuer, leeway. Raises PyJWT's InvalidTokenError."""
        return self._signer().verify(token, **options)

    def _signer(self) -> Tokens:
        if self._tokens is None:
            from mngdb.client.tokens import Tokens

            self._tokens = Tokens(self)
        return self._tokens

    def _now(self) -> Mapping[str, str]:
        source = self._source
        # of several threads one reads; the others go on with what they have
        if source is not None and source.due():
            guard = self._guard()
            if guard.acquire(blocking=False):
                try:
                    self._found = source.again(self._found)
                finally:
                    guard.release()
        return self._found


def _rest(environ: Mapping[str, str], found: Mapping[str, str]) -> Mapping[str, str]:
    """What the environment answers for. A key that was withdrawn from a document with keys is not
    valid because the app was started with it."""
    if any(name in found for name in SIGNING_KEYS):
        return {name: value for name, value in environ.items() if name not in SIGNING_KEYS}
    return environ


def _source(environ: Mapping[str, str]) -> Source | None:
    path = environ.get("MNGDB_SETTINGS")
    if path:
        return FileSource(path)
    if _true(environ, "USE_AWS_SECRETS"):
        names = [one.strip() for one in environ.get("AWS_SECRET_NAME", "").split(",")]
        names = [one for one in names if one]
        if not names:
            raise SettingsError("USE_AWS_SECRETS is true, but AWS_SECRET_NAME is not set")
        try:
            age = float(environ.get("MNGDB_SETTINGS_AGE", "30"))
        except ValueError:
            raise SettingsError("MNGDB_SETTINGS_AGE is not a number of seconds") from None
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        return AwsSource(names, region, _true(environ, "AWS_SECRETS_FAIL_OPEN"), age)
    return None


def _true(environ: Mapping[str, str], name: str) -> bool:
    word = environ.get(name, "").strip().lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"false", "0", "no", "off", ""}:
        return False
    raise SettingsError(f"{name} has to be true or false, not {word[:20]!r}")
