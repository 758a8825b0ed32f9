"""Where settings are read from: a file, or AWS Secrets Manager."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

#: Seconds: the longest pause before a source that failed is asked again, how long a connection to
#: AWS and an answer may take, and how long the first of them.
_PAUSE, _CONNECT, _READ = 30.0, 3.0, 5.0
#: What tokens are signed and verified with, the current key first.
SIGNING_KEYS = ("JWT_CURRENT", "JWT_PREVIOUS")
_NAMES = dict(zip(("CURRENT", "PREVIOUS"), SIGNING_KEYS, strict=True))


class SettingsError(RuntimeError):
    """The settings cannot be had. The message has no values."""


class Source(Protocol):
    """Where settings are."""

    #: Whether reading takes so long that a program of asyncio must not wait for it in its loop.
    slow: bool

    def read(self) -> Mapping[str, str]:
        """The settings as they are now. Raises SettingsError."""
        ...

    def again(self, before: Mapping[str, str]) -> Mapping[str, str]:
        """The same, or those of before with a warning in the log."""
        ...

    def due(self) -> bool:
        """Whether they may have changed."""
        ...


class FileSource:
    """The document that mngdb publishes for an app, replaced as a whole."""

    slow = False

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        return self._path

    def read(self) -> Mapping[str, str]:
        try:
            with open(self._path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes 10 ms
                self._seen = _mark(os.fstat(file.fileno()))
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"the settings {self._path} (MNGDB_SETTINGS) cannot be read: {error}"
            ) from None
        return _settings(text, self._path)

    def again(self, before: Mapping[str, str]) -> Mapping[str, str]:
        try:
            return self.read()
        except SettingsError as error:
            warn(f"{error}; going on with those of before")
            return before

    def due(self) -> bool:
        try:
            seen = _mark(os.stat(self._path))  # noqa: PTH116
        except OSError:
            return False  # it comes back, or the next start tells
        return seen != self._seen


class AwsSource:
    """Secrets of AWS Secrets Manager; of several, the later ones win."""

    slow = True

    def __init__(
        self, names: Sequence[str], region: str | None, fail_open: bool, age: float
    ) -> None:
        """`age`: seconds after which they are read again."""
        self._names = names
        self._region = region
        self._fail_open = fail_open
        self._age = age
        self._next = 0.0
        self._guard = threading.Lock()
        self._made: tuple[int, Any] | None = None

    def __repr__(self) -> str:
        return f"AWS {', '.join(self._names)}"

    def read(self) -> Mapping[str, str]:
        try:
            return self._read()
        except SettingsError as error:
            if not self._fail_open:
                raise
            warn(f"{error}; AWS_SECRETS_FAIL_OPEN is true: going on with the environment alone")
            self._next = time.monotonic() + min(self._age, _PAUSE)
            return {}

    def again(self, before: Mapping[str, str]) -> Mapping[str, str]:
        try:
            return self._read()
        except SettingsError as error:
            # an app that runs is not stopped because AWS is away
            warn(f"{error}; going on with the settings of before")
            self._next = time.monotonic() + min(self._age, _PAUSE)
            return before

    def due(self) -> bool:
        return time.monotonic() >= self._next

    def _read(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for name in self._names:
            try:
                answer = self._client().get_secret_value(SecretId=name, VersionStage="AWSCURRENT")
            except ImportError:
                raise SettingsError(
                    "USE_AWS_SECRETS needs boto3: pip install 'mngdb[aws]'"
                ) from None
            except Exception as error:  # noqa: BLE001 - boto3 has dozens, of no common kind
                raise SettingsError(f"the AWS secret {name} cannot be read: {error}") from None
            found.update(_settings(answer.get("SecretString") or "", f"the AWS secret {name}"))
        self._next = time.monotonic() + self._age
        return found

    def _client(self) -> Any:
        """AWS's client; another one after a fork, which must not share connections."""
        with self._guard:
            if self._made is None or self._made[0] != os.getpid():
                import logging

                import boto3
                from botocore.config import Config

                logging.getLogger("botocore.parsers").addFilter(_discreet)

                config = Config(
                    connect_timeout=_CONNECT,
                    read_timeout=_READ,
                    retries={"mode": "standard", "total_max_attempts": 3},
                    user_agent_extra="mngdb-client",
                )
                session = boto3.Session(region_name=self._region)
                self._made = os.getpid(), session.client("secretsmanager", config=config)
            return self._made[1]


def _discreet(record: Any) -> bool:
    """Whether a record of AWS's library may be logged: at DEBUG it has whole answers."""
    return "SecretString" not in record.getMessage()


def _mark(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mtime_ns, found.st_ino, found.st_size


def _settings(text: str, place: str) -> Mapping[str, str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise SettingsError(f"{place} does not hold a JSON object")
    found = {str(name).upper(): value for name, value in content.items()}
    return {_NAMES.get(name, name): str(value) for name, value in found.items()}


def warn(text: str) -> None:
    """Log a warning, as loudly as the app lets it."""
    import logging  # here: it takes a fifth of the time of the import

    logging.getLogger("mngdb.client").warning(text)
