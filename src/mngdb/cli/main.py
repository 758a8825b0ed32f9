"""The command `mngdb`. Commands are imported when they are called: `--help` stays fast."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import sys
from io import TextIOWrapper
from typing import Any

import click

from mngdb import __version__
from mngdb.cli.common import Options, common, say_json, tell
from mngdb.cli.lazy import Lazy
from mngdb.cli.log import start_log_file
from mngdb.errors import MngdbError, of_system

#: Command to module and the line that `--help` shows.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("file", "Write a commented mngdb.yaml."),
    "config": ("file", "Print the file with all defaults filled in."),
    "schema": ("file", "Print the JSON Schema of the file, for editors."),
    "plan": ("stack", "Show the steps that 'up' would take."),
    "up": ("stack", "Apply the file: start and harden servers, give every app a login."),
    "restart": ("stack", "Restart servers, or the whole stack."),
    "status": ("stack", "Show what is running where, and whether it responds."),
    "down": ("stack", "Stop the servers cleanly; data is kept."),
    "enable": ("boot", "Start the stack at boot."),
    "disable": ("boot", "Do not start the stack at boot."),
    "destroy": ("stack", "Stop the servers and remove everything, data included."),
    "stacks": ("stacks", "List the stacks of this account."),
    "logs": ("stack", "Show a server's log."),
    "url": ("use", "Print a connection string."),
    "env": ("env", "Print an app's variables, or check a .env file."),
    "shell": ("use", "Open psql, redis-cli or mongosh."),
    "doctor": ("doctor", "Show what is wrong, the most likely cause first."),
    "check": ("check", "Check the live servers against the production guide."),
    "sessions": ("sessions", "Show who is connected, and what is running."),
    "connections": ("sessions", "Show who holds how many connections, and what to change."),
    "slow": ("slow", "Show which statements take the most time, and why."),
    "indexes": ("indexes", "Show unused, duplicate and missing indexes, and what to run."),
    "bloat": ("bloat", "Show wasted space, and what to run."),
    "memory": ("memory", "Show what uses each server's memory, and what to change."),
    "locks": ("locks", "Show who blocks whom in PostgreSQL, or end a session."),
    "keys": ("keys", "Show the memory use of a Redis by key pattern."),
    "secret": ("use", "Store a secret in the vault."),
    "secrets": ("secrets", "Scan the project's files for secrets."),
    "alerts": ("alerts", "Show active alerts and rules, or test a channel."),
    "agent": ("agent", "Serve metrics and restart crashed servers."),
    "render": ("render", "Write the stack as files for other tools."),
}


@click.group(cls=Lazy, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mngdb", message="%(prog)s %(version)s")
@common
def cli(_: Options) -> None:
    """PostgreSQL, Redis and MongoDB for a team: declared in one file."""
    start_log_file()


def run() -> None:
    """Entry point: run the command and turn errors into a sentence and an exit code."""
    # imports make hundreds of thousands of objects that stay; collecting among them takes 20 ms
    gc.set_threshold(500_000)
    # none is for us, and looking for one reads the notes of every package that is installed
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # an old locale lacks a letter: no reason to end, nor is it that this cannot be said
            with contextlib.suppress(OSError):
                stream.reconfigure(errors="backslashreplace")
    code = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            pass  # the reader closed the pipe
        except OSError:
            code = code or 1  # what could not be written was told by then
    # tearing the interpreter down takes 40 ms, and frees what the kernel frees anyway
    os._exit(code)


def main(arguments: list[str]) -> int:
    """Run the command line `arguments`; returns the exit code."""
    try:
        result = cli.main(args=arguments, prog_name="mngdb", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        hint = None
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            click.echo(error.format_message(), err=True)  # the whole help: no error to be told
            return 2
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"{error.ctx.command_path} --help"
        return _fail(error.format_message(), hint, 2, arguments)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", None, 130, arguments)
    except MngdbError as error:
        return _fail(error.message, error.hint, error.exit_code, arguments)
    except BrokenPipeError:
        # the reader closed the pipe; leave no traceback at exit
        sys.stdout = None
        return 0
    except OSError as error:
        told = of_system(error)
        return _fail(told.message, told.hint, told.exit_code, arguments)
    return result if isinstance(result, int) else 0


def _fail(message: str, hint: str | None, code: int, arguments: list[str]) -> int:
    if "--json" in arguments:
        document: dict[str, Any] = {"error": {"message": message, "hint": hint, "exit_code": code}}
        with contextlib.suppress(OSError):  # it may be what failed
            say_json(document)
    prefix = click.style("error:", fg="red")
    # a file's errors begin with file:line:column, which editors and people look for first
    located = re.match(r"[^:\n]+:\d+:\d+: |[^:\n]+\.ya?ml: ", message) is not None
    tell(message if located else f"{prefix} {message}")
    if hint:
        tell(f"  hint: {hint}")
    return code
