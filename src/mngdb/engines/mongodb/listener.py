"""Tells the log of every command that the driver sends; imported only where the log is on."""

from __future__ import annotations

from pymongo import monitoring

from mngdb import log


class Listener(monitoring.CommandListener):
    """A command's name, its database and what it is about: no filters and values, which may be
    secrets. Of what the driver itself holds back (createUser, logins) it knows no more."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._about: dict[int, str] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        about = event.command.get(event.command_name, "")
        self._about[event.request_id] = f" {about}" if isinstance(about, str) and about else ""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._tell(event, "")

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._tell(event, f", failed with code {event.failure.get('code')}")

    def _tell(
        self, event: monitoring.CommandSucceededEvent | monitoring.CommandFailedEvent, end: str
    ) -> None:
        about = self._about.pop(event.request_id, "")
        took = event.duration_micros / 1000
        text = f"{event.database_name}: {event.command_name}{about} ({took:.1f} ms{end})"
        log.say(self._module, text)
