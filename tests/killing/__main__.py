"""The command `mngdb` that kills itself (kill -9) before the effect of the number MNGDB_KILL_AT: a
file that is replaced or removed, a step on a server, another password for its administrator. Or it
is the name of a function in the list below: before that is first called."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mngdb.cli.main import run
from mngdb.ops.rotate import servers, work
from mngdb.targets.converge import Converger
from mngdb.vaults.files import FilesVault

_AT = os.environ["MNGDB_KILL_AT"]
_COUNT, _GUARD = itertools.count(), threading.Lock()


def _deadly(function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*given: Any, **named: Any) -> Any:
        with _GUARD:
            if _AT in {str(next(_COUNT)), function.__name__}:
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)

    return counted


for owner, name in (
    (Path, "replace"),
    (Path, "unlink"),
    (Converger, "_do"),
    (servers.Servers, "change"),
    (servers.Servers, "tried"),
    (FilesVault, "promote"),
):
    setattr(owner, name, _deadly(getattr(owner, name)))
work.SETTLE = 0.0
run()
