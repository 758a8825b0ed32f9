"""The command `mngdb`. Commands are imported when they are called: `--help` stays fast."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import re
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any

import click

from mngdb import __version__
from mngdb.cli.commands import COMMANDS, SECTIONS, SYNONYMS
from mngdb.cli.common import Options, colour, common, in_full, say_json, tell
from mngdb.cli.layout import Help
from mngdb.cli.lazy import Lazy
from mngdb.cli.log import start_log_file
from mngdb.errors import MngdbError, of_system


@click.group(
    cls=Lazy,
    table=COMMANDS,
    sections=SECTIONS,
    synonyms=SYNONYMS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mngdb", message="%(prog)s %(version)s")
@click.option("--with-agent", is_flag=True, hidden=True)
@common
def cli(_: Options, with_agent: bool) -> None:
    """PostgreSQL, Redis and MongoDB for a team: declared in one file."""
    if with_agent:  # the agent's own child
        from mngdb.agent.children import attend

        attend()
    start_log_file()


def run() -> None:
    """Entry point: run the command and turn errors into a sentence and an exit code."""
    begin(lambda arguments, _: arguments)


def begin(admit: Callable[[list[str], Options], list[str]]) -> None:
    """The same of what `admit` makes of the command line, for another program."""
    # imports make hundreds of thousands of objects that stay; collecting among them takes 20 ms
    gc.set_threshold(500_000)
    # none is for us, and looking for one reads the notes of every package that is installed
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # an old locale lacks a letter: no reason to end, nor is it that this cannot be said
            with contextlib.suppress(OSError):
                stream.reconfigure(errors="backslashreplace")
    click.Context.formatter_class = Help
    code = main(sys.argv[1:], admit)
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


def main(
    arguments: list[str],
    admit: Callable[[list[str], Options], list[str]] = lambda arguments, _: arguments,
) -> int:
    """Run the command line `arguments`; returns the exit code."""
    options = Options()
    fail = functools.partial(_fail, arguments, options)
    try:
        words = admit(arguments, options)
        result = cli.main(args=words, prog_name="mngdb", standalone_mode=False, obj=options)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        hint = None
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            click.echo(error.format_message(), err=True)  # the whole help: no error to be told
            return 2
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"{error.ctx.command_path} {_instead(error, error.ctx)}"
        return fail(error.format_message(), hint, 2)
    except (click.Abort, KeyboardInterrupt):
        return fail("interrupted", None, 130)
    except MngdbError as error:
        return fail(error.message, error.hint, error.exit_code)
    except BrokenPipeError:
        # the reader closed the pipe; leave no traceback at exit
        sys.stdout = None
        return 0
    except OSError as error:
        told = of_system(error)
        return fail(told.message, told.hint, told.exit_code)
    return result if isinstance(result, int) else 0


def _instead(error: click.UsageError, context: click.Context) -> str:
    """What comes after a command that was called wrongly: an argument that was taken for an option,
    or what explains all of them."""
    if isinstance(error, click.NoSuchOption):
        for one in context.command.params:
            if isinstance(one, click.Argument) and error.option_name == f"--{one.name}":
                every = [a for a in context.command.params if isinstance(a, click.Argument)]
                return " ".join(filter(None, (a.make_metavar(context) for a in every))) or "--help"
    return "--help"


def _fail(arguments: list[str], options: Options, message: str, hint: str | None, code: int) -> int:
    if "--json" in arguments:
        document: dict[str, Any] = {"error": {"message": message, "hint": hint, "exit_code": code}}
        with contextlib.suppress(OSError):  # it may be what failed
            say_json(document)
    prefix = click.style("error:", fg="red") if colour() is None else "error:"
    # a file's errors begin with file:line:column, which editors and people look for first
    located = re.match(r"[^:\n]+:\d+:\d+: |[^:\n]+\.ya?ml: ", message) is not None
    tell(in_full(message if located else f"{prefix} {message}", options))
    if hint:
        tell(in_full(f"  hint: {hint}", options))
    return code
