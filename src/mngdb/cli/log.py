"""`--verbose` and MNGDB_LOG: where the log goes, and its first line."""

from __future__ import annotations

import os
from typing import TextIO

import click

from mngdb import __version__, log
from mngdb.errors import UsageError


def start_log(stream: TextIO) -> None:
    """Log to a stream, from the first line on with what a report of a fault has to say."""
    import platform

    context = click.get_current_context()
    command = " ".join(filter(None, (context.command_path, context.invoked_subcommand)))
    python = f"Python {platform.python_version()}"
    log.start(stream, f"{command}: mngdb {__version__}, {python}, {platform.platform()}")


def start_log_file() -> None:
    """Log to the file that MNGDB_LOG names, if any; the lines of other commands stay. Raises
    UsageError."""
    name = os.environ.get("MNGDB_LOG")
    if not name:
        return
    from mngdb import disk

    try:
        handle = disk.own(disk.expanded(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.fchmod(handle, 0o600)
    except OSError as error:
        raise UsageError(f"MNGDB_LOG: {name}: {error.strerror}", "name another file") from None
    start_log(os.fdopen(handle, "a", errors="backslashreplace"))
