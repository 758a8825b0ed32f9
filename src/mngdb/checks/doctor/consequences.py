"""What each cause leads to."""

from __future__ import annotations

#: Logins that fail because the server does not work, not because of the app.
_LOGINS = (
    *("login-down", "login-unreachable", "login-starting", "login-stopping", "login-limit"),
    *("login-quota", "login-other", "login-disk", "login-primary"),
)
_ALARMS = ("alert", "watch")
#: Of a server that apps cannot use.
_UNUSABLE = (*_LOGINS, *_ALARMS, "backup")
#: Of a server that cannot run.
_STOPPED = ("not-running", "agent", "unhealthy", *_UNUSABLE)
#: Of secrets that logins need.
_LOCKED_OUT = ("admin-refused", "login-auth", "login-secret")
#: Of a disk that nothing can be written to.
_UNWRITABLE = (
    "secret-unwritten",
    "cannot-start",
    "no-answer",
    "check",
    "machine",
    "log",
    *_STOPPED,
)
#: A cause to what it explains where both are about the same instances.
CONSEQUENCES: dict[str, tuple[str, ...]] = {
    "secret": _LOCKED_OUT,
    "disk-full": _UNWRITABLE,
    "disk-closed": _UNWRITABLE,
    "secret-unwritten": _LOCKED_OUT,
    "out-of-memory": ("no-answer", "machine", *_STOPPED),
    "cannot-start": _STOPPED,
    "unreachable": ("page", *_UNUSABLE),
    "not-running": ("agent", "page", *_UNUSABLE),
    "frozen": ("unhealthy", "page", *_UNUSABLE),
    "memory-full": ("no-answer", "login-memory", "check", "unhealthy", *_ALARMS),
    "no-answer": _UNUSABLE,
    "lock": ("connections", "app-limit", "login-limit", "login-quota", "unhealthy", "watch"),
    "connections": ("app-limit", "login-limit", "login-quota", "unhealthy", *_ALARMS),
    "app-limit": ("login-quota",),
    "denied": ("alert-denied",),
    "refused-login": ("alert-login",),
    "check": ("login-disk", "login-primary", "unhealthy", "alert"),
    "backup-secret": ("backup",),
    "backup": _ALARMS,
    "unhealthy": _ALARMS,
}
