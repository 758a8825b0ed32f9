"""What to do about a server that somebody else runs: `mngdb up` neither starts nor mends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mngdb.errors import ConnectError, StepError

_ASK = "ask its operator, and check the url of {name} in the file"
_HINTS = {
    "down": _ASK,
    "starting": _ASK,
    "stopping": _ASK,
    "other": _ASK,
    "tls": "compare the TLS options in the url of {name} in the file with the server's",
    "hba": "ask the operator of {name} to allow this login",
}
#: Where it was the administrator who did not get in.
_OF_ADMIN = {
    "auth": "mngdb secret set {name}_admin; or correct the user in the url of {name}",
    "database": "set an existing database in the url of {name}",
}


@contextmanager
def advice(name: str, *, admin: bool) -> Iterator[None]:
    """Errors of the way to the instance `name` get advice that fits a server of somebody else.
    `admin`: it is the administrator who logs in."""
    try:
        yield
    except ConnectError as error:
        hints = _HINTS | (_OF_ADMIN if admin else {})
        if error.kind not in hints:
            raise
        hint = hints[error.kind].format(name=name)
        raise ConnectError(error.message, hint, error.kind) from None
    except StepError as error:
        if admin and not error.hint:
            error.hint = f"the login in the url of {name} may lack a right: ask its operator"
        raise
