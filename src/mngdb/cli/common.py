"""Options that every command takes, before its name and after, and how output looks."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from msgspec import Struct, field

from mngdb.cli.commands import COMMANDS
from mngdb.cli.layout import terminal, wrapped
from mngdb.cli.log import start_log
from mngdb.spec.target_info import for_stacks
from mngdb.words import harmless, harmless_json

if TYPE_CHECKING:
    from mngdb.errors import MngdbError
    from mngdb.ops.context import Context
    from mngdb.spec.stack import Stack

DEFAULT_FILE = "mngdb.yaml"
#: A command that people may paste.
_PASTED = re.compile(rf"(?<![\w./-])mngdb (?=({'|'.join(COMMANDS)})\b)")
F = TypeVar("F", bound=Callable[..., Any])


class Options(Struct):
    """What -f, --json and --target said, wherever they stood."""

    files: list[str] = field(default_factory=list)
    json: bool = False
    target: str | None = None
    verbose: int = 0
    """How often -v stood there."""
    through: str = ""
    """How this stack is reached by who runs the command, where that is not the owner."""
    guard: Callable[[Stack], None] | None = None
    """Looks at the stack before anything that its file names is run; raises UsageError."""
    permitted: Collection[str] = tuple(COMMANDS)
    """The commands that may be run so."""

    @property
    def paths(self) -> list[Path]:
        """The files to read, in order."""
        return [Path(name) for name in self.files] or [nearest()]

    @property
    def command(self) -> str:
        """`mngdb` with what was said, for a hint that is to be pasted."""
        return self.through or program(self.files or [DEFAULT_FILE], self.target)

    def context(self, *, anywhere: bool = False, fresh: bool = False) -> Context:
        """The stack that the files describe; with `anywhere` also in a folder that may not be used
        for it, for commands that only read the file; `fresh`: one that begins empty, whatever there
        was. Raises SpecError, UsageError."""
        from mngdb.errors import ForeignError
        from mngdb.ops.context import Context
        from mngdb.spec.vault import contradictions

        stack = None
        try:
            stack = self._load()
            if self.guard is not None:
                self.guard(stack)
            found = Context.open(stack, os.environ, fresh=fresh, warn=tell)
            if found.located.trouble is not None and not anywhere:
                raise found.located.trouble
        except ForeignError as error:
            from mngdb.cli.team import advice

            error.hint = advice(error, stack)
            raise
        if found.located.notice:
            tell(f"note: {found.located.notice}")
        for remark in contradictions(stack.source.vault, os.environ):
            tell(f"note: {remark}")
        return found

    def _load(self) -> Stack:
        """The stack of the files. Of a file that somebody else may have put there, also by a link,
        no error is shown: it has the file's words in it."""
        from mngdb.errors import SpecError, UsageError
        from mngdb.identity.home import require_own_links, require_trusted
        from mngdb.identity.pointer import names
        from mngdb.spec.load import load

        require_own_links(self.paths, os.environ)
        try:
            return load(self.paths, os.environ, self.target)
        except SpecError:
            require_trusted(self.paths, os.environ)
            raise
        except UsageError as error:
            gone = isinstance(error.__context__, FileNotFoundError)
            stacks = names(self.paths[0].parent) if gone else []
            if stacks:  # their servers may run, and `init` would begin another
                error.hint = (
                    f"restore the file of the stack {', '.join(stacks)}, or choose another with "
                    "-f; 'mngdb stacks' lists what runs"
                )
            raise

    def say(self, document: object, text: str) -> None:
        """The result: the document with --json, else the text, of which no line is broken."""
        if self.json:
            say_json(document)
        else:
            verbatim(text)


@functools.cache
def nearest() -> Path:
    """The stack's file in this folder or the nearest above, also as mngdb.yml; mngdb.yaml here
    where there is none. One above that somebody else put there or everybody may write, also by a
    link, is left alone."""
    for name in (DEFAULT_FILE, "mngdb.yml"):
        if Path(name).exists():
            return Path(name)
    for folder in Path.cwd().parents:
        for name in (DEFAULT_FILE, "mngdb.yml"):
            found = folder / name
            with contextlib.suppress(OSError):
                about = found.lstat()
                ours = about.st_uid in {os.getuid(), 0} and not about.st_mode & 0o002
                if ours and stat.S_ISREG(about.st_mode):
                    tell(f"note: the file is {found}")
                    return found
    return Path(DEFAULT_FILE)


def program(files: Sequence[str], target: str | None) -> str:
    """How commands begin: with what it takes to mean the stack of these files and no other."""
    words = ["mngdb"]
    if files != [DEFAULT_FILE]:
        words += [word for name in files for word in ("-f", name)]
    if target is not None:
        words += ["--target", target]
    return shlex.join(words)


def in_full(text: str, options: Options | None = None) -> str:
    """A text whose commands can be pasted: they name the files and the target that the command was
    given which shows them. `options` are its own; None: those of the one that runs."""
    if options is None:
        context = click.get_current_context(silent=True)
        options = context.find_object(Options) if context else None
    if options is None:
        return text
    return _PASTED.sub(
        lambda found: f"{options.command} " if found[1] in options.permitted else found[0], text
    )


def common(function: F) -> F:
    """Add -f, --json, --target and -v to a command; the command gets them as its first argument."""
    return _common(function, 1, "Log programs, queries and file writes to standard error;")


def common_with_more(function: F) -> F:
    """As `common`, for a command that shows more with -v, and logs with -vv."""
    return _common(function, 2, "Show every step. -vv: log programs, queries and file writes;")


def _common(function: F, logs: int, does: str) -> F:

    @click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        metavar="FILE",
        help="The stack's file. Repeatable: files are merged in order. Default: mngdb.yaml.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
    @click.option(
        "--target",
        type=click.Choice(for_stacks()),
        help="Where the stack runs. Overrides the file.",
    )
    @click.option(
        "-v",
        "--verbose",
        count=True,
        help=f"{does} MNGDB_LOG=FILE: to a file.",
    )
    @functools.wraps(function)
    def wrapped(
        *args: Any,
        files: Sequence[str],
        as_json: bool,
        target: str | None,
        verbose: int,
        **kwargs: Any,
    ) -> Any:
        context = click.get_current_context()
        options = context.ensure_object(Options)
        options.files += files
        options.json = options.json or as_json
        options.target = target or options.target
        options.verbose += verbose
        # the command of a group knows what -v means; a document has every step anyway
        if context.invoked_subcommand is None and options.verbose >= (1 if options.json else logs):
            start_log(sys.stderr)
        return function(options, *args, **kwargs)

    return cast(F, wrapped)


def repeatable(function: F) -> F:
    """A command that changes things: interrupted, it says what became of them."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from mngdb.errors import InterruptError

        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            raise InterruptError from None

    return cast(F, wrapped)


def seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """The callback of an option that takes a duration."""
    from mngdb.spec.units import parse_duration

    try:
        return None if value is None else parse_duration(value).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def confirm(question: str) -> None:
    """Ask whether to go on. Raises UsageError where nobody answers, MngdbError for a no."""
    from mngdb.errors import MngdbError, UsageError

    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as error:
        if not isinstance(error.__context__, EOFError):
            raise  # Ctrl-C
        tell("")
        raise UsageError("nobody answered the question; nothing was changed", "use --yes") from None
    if not agreed:
        raise MngdbError("not confirmed; nothing was changed")


def colour() -> bool | None:
    """False where colours are unwanted (https://no-color.org) or unknown; None: a terminal has
    them."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def say(text: str = "") -> None:
    """A result for people, on standard output."""
    click.echo(wrapped(harmless(text), terminal(sys.stdout)), color=colour())


def verbatim(text: str) -> None:
    """A document, or lines to be copied, on standard output: none is broken."""
    click.echo(harmless(text), color=colour())


def tell(text: str) -> None:
    """Progress and remarks, on standard error. Nobody reading it, or a full disk below it, is no
    reason to stop working."""
    with contextlib.suppress(OSError):
        shown = wrapped(harmless(in_full(text)), terminal(sys.stderr))
        click.echo(shown, err=True, color=colour())


def say_json(document: object) -> None:
    """The one JSON document of a command."""
    click.echo(harmless_json(json.dumps(document, indent=2, ensure_ascii=False)))


def say_answers(
    stack: str,
    instances: Sequence[Mapping[str, Any]],
    errors: Mapping[str, MngdbError],
    **more: Mapping[str, str],
) -> int:
    """The one JSON document of a command that asks servers; `errors` of those that gave no answer.
    Returns the exit code."""
    failed = {name: error.message for name, error in errors.items()}
    say_json({"stack": stack, "instances": instances, **more, "errors": failed})
    return 3 if errors else 0


def tell_errors(errors: Mapping[str, MngdbError], notes: Mapping[str, str] | None = None) -> int:
    """What has to be known to read the answers of servers, and why some gave none. Returns the
    exit code."""
    for name, note in (notes or {}).items():
        tell(f"{name}: {note}")
    for name, error in errors.items():
        tell(f"{name}: {error.message}")
        if error.hint:
            tell(f"  hint: {error.hint}")
    return 3 if errors else 0


def size(count: int) -> str:
    """Bytes as people say them."""
    for unit, letters in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")):
        if count >= unit:
            digits = 1 if count < 10 * unit else 0
            return f"{count / unit:.{digits}f} {letters}"
    return f"{count} B"
