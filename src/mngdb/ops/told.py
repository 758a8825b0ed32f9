"""Which alert channels have taken a message: the proof that people are told."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError
from mngdb.ops.context import Context
from mngdb.spec.alerts import Channel, secret_of

#: In the stack's own folder: channel to when it last took a message, and with what settings.
_FILE = "alerts-told.json"


def note(context: Context, name: str) -> None:
    """A channel took a message just now. Raises OSError."""
    path = _path(context)
    with disk.alone(path.with_suffix(".lock")):
        settings = _settings(context.stack.source.alerts.channels[name])
        found = _read(path) | {name: (time.time(), settings)}
        disk.write(path, json.dumps(found), durable=False)


def missing(context: Context, name: str) -> str:
    """Why there is no proof that a message arrives in a channel; empty: there is one."""
    channel = context.stack.source.alerts.channels[name]
    at, settings = _read(_path(context)).get(name, (0.0, ""))
    if not at:
        return "no message has arrived yet"
    if settings != _settings(channel):
        return "its settings have changed since the last message"
    if channel.needs_secret:
        secret = secret_of(name)
        try:
            entry = context.vault.get_many([secret]).get(secret)
        except MngdbError as error:
            return error.message
        if entry is None or entry.usable() is None:
            return f"the secret {secret} is missing"
        if entry.changed is not None and entry.changed > at:
            return "its secret has changed since the last message"
    return ""


def _path(context: Context) -> Path:
    return context.stack.state / _FILE


def _read(path: Path) -> dict[str, tuple[float, str]]:
    return disk.noted(path, dict[str, tuple[float, str]], {})


def _settings(channel: Channel) -> str:
    return hashlib.sha256(channel.model_dump_json().encode()).hexdigest()
