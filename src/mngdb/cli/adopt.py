"""init --from: who is asked for passwords, and what is told."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from mngdb.cli.common import Options, in_full, say, say_json, tell
from mngdb.errors import MngdbError, UsageError
from mngdb.ops import adopt as work
from mngdb.spec.target_info import DEFAULT_TARGET
from mngdb.words import many

#: Seconds between two lines of progress.
_PAUSE = 5.0


def adopt(
    options: Options,
    path: Path,
    name: str,
    origins: Sequence[str],
    password_file: Path | None,
    *,
    keep: bool,
) -> None:
    """Describe servers and scripts. Raises MngdbError; then nothing is written."""
    work.refuse_existing(path)
    name = work.name_here(path, name, os.environ)
    if not all(origins):
        raise UsageError("--from is empty", "give it a URL or a file; is the shell's variable set?")
    piped = "-" in origins
    scripts = [Path(one) for one in origins if "://" not in one and one != "-"]
    work.refuse_missing(scripts)
    servers = work.sources([one for one in origins if "://" in one], typed=True)
    if piped:
        lines = [line.strip() for line in sys.stdin]
        servers = work.sources(
            [*(one.url for one in servers), *(one for one in lines if one)], typed=False
        )
    answers = _answers(password_file, piped=piped)
    hint = "--password-file needs a line for each URL"
    if password_file is None:
        hint = "write SCHEME://USER:PASSWORD@HOST on standard input, or use --password-file"
    ask = partial(_ask, answers=answers, hint=hint)
    ready = [*work.with_passwords(servers, ask, os.environ)]
    target = options.target or DEFAULT_TARGET
    found = work.describe(path, name, ready, scripts, target, os.environ, Progress())
    kept = _wanted(options, found, keep=keep)
    refused = work.write(found, os.environ, keep=kept)
    if found.stack.name != name:
        tell(
            f"note: logins on these servers belong to another stack named {name}; this one is "
            f"named {found.stack.name}"
        )
        tell(f"  hint: if it is the same stack, run mngdb with its file, not with {path}")
    _tell_kept(found, refused, kept=kept)
    apps, described = found.file.apps, found.file.described
    if options.json:
        say_json(
            {
                "file": str(path),
                "name": found.stack.name,
                "apps": apps,
                "described": described,
                "passwords": sorted(found.file.passwords) if kept else [],
            }
        )
        return
    said = f"{many(apps, 'app')}, {many(described, 'login')} as comments"
    say(in_full(f"wrote {path} ({said}); next: mngdb plan"))


class Progress:
    """Now and then a line on standard error: many databases take a while."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PAUSE

    def __call__(self, name: str, done: int, every: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PAUSE
            tell(f"{name}: {done} of {every} databases")


def _ask(text: str, *, answers: Iterator[str] | None, hint: str) -> str | None:
    """`hint`: what helps where `answers` are too few."""
    if answers is not None:
        found = next(answers, None)
        if found is None:
            raise UsageError(f"{text}: none was given", hint)
        return found
    if not sys.stdin.isatty():
        raise UsageError(
            f"{text}: nobody can be asked", "use --password-file FILE, or run it at a terminal"
        )
    return str(click.prompt(text, hide_input=True, err=True, default="", show_default=False))


def _answers(path: Path | None, *, piped: bool) -> Iterator[str] | None:
    """The lines of the file; None: a person is asked."""
    if path is None:
        return iter(()) if piped else None
    try:
        return iter(path.read_text().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{path} cannot be read: {why}") from None


def _wanted(options: Options, found: work.Described, *, keep: bool) -> bool:
    """Whether passwords of a script go into the vault: where the command or a person says so."""
    if keep or not found.file.passwords or options.json or not sys.stdin.isatty():
        return keep
    count = many(len(found.file.passwords), "password")
    return click.confirm(f"store {count} of the script in the vault?", err=True)


def _tell_kept(found: work.Described, refused: Mapping[str, MngdbError], *, kept: bool) -> None:
    passwords = found.file.passwords
    if not passwords:
        return
    if not kept:
        count = many(len(passwords), "password")
        tell(f"note: {count} of the script not copied: 'mngdb up' makes new ones")
        tell(f"  hint: to keep one: mngdb secret set {min(passwords)}")
        return
    stored = many(len(passwords) - len(refused), "password")
    tell(f"note: {stored} of the script stored in the vault, none in {found.path}")
    for error in refused.values():
        tell(f"note: not stored, 'mngdb up' makes a new one: {error.message}")
