"""backup kit: made, and opened."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mngdb.cli.common import Options, common, program, say, say_json, tell, tell_errors, verbatim

if TYPE_CHECKING:
    from mngdb.ops.backup.kit import Kit
    from mngdb.ops.backup.rebuild import Rebuilt
    from mngdb.ops.context import Context
    from mngdb.secret import Secret

#: Characters of standard input that are looked at for a passphrase.
_MOST = 4096


@click.command()
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Write it there. Default: your home directory. '-' prints the page for paper.",
)
@click.option(
    "--open",
    "opened",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Print what this kit holds, secrets included.",
)
@click.option(
    "--into",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --open: set the stack up there, on a machine that has nothing of it.",
)
@click.option("--store", metavar="STORE", help="With --into: where its backups are now.")
@click.option("--restore", is_flag=True, help="With --into: start it too, with its newest data.")
@common
def kit(
    options: Options,
    output: Path | None,
    opened: Path | None,
    into: Path | None,
    store: str | None,
    restore: bool,
) -> int:
    """Write what a restore on an empty machine needs besides the store, encrypted.

    The keys, the stack's file, its secrets and the store's address, behind a passphrase that is
    asked for twice, or read from standard input. 'age -d FILE' opens it, too. Keep it on another
    machine or on paper: beside FILE there is FILE.txt, a page to be printed.

    When the machine is gone: 'mngdb backup kit --open FILE --into FOLDER --restore' writes the
    stack's files, puts its secrets into a new vault, starts it and restores every instance to its
    newest moment. Without --restore nothing is started yet. The new stack never writes to the
    backups of the old one.
    """
    from mngdb.errors import UsageError

    if opened is None and (into is not None or store is not None or restore):
        raise UsageError("--into, --store and --restore need --open KIT")
    if opened is not None and output is not None:
        raise UsageError("--open reads a kit, --output writes one")
    if opened is None:
        return _make(options, output)
    if into is not None:
        return _set_up(options, opened, into, store, restore)
    if store is not None or restore:
        raise UsageError("--store and --restore need --into FOLDER")
    return _open(options, opened)


def _make(options: Options, output: Path | None) -> int:
    from mngdb.ops.backup import kit as kits

    context = options.context()
    found = kits.collect(context)
    if output is not None and str(output) == "-":
        armor = kits.seal(found, passphrase(twice=True))
        kits.note(context, found)
        verbatim(kits.page(found, armor))
        return 0
    file = (output or kits.default_file(context)).absolute()
    kits.check_place(file)
    paths = kits.save(found, passphrase(twice=True), file)
    kits.note(context, found)
    if options.json:
        files = [str(path) for path in paths]
        say_json({"stack": context.stack.name, "files": files, "made": found.made})
        return 0
    say(f"kit: {paths[0]}")
    say(f"page to be printed: {paths[1]}")
    if found.keys:
        tell(found.keys.strip())
    if file.is_relative_to(context.stack.folder):
        tell("note: it is in the project's folder, which this machine's loss takes along")
    if found.elsewhere:
        tell(found.elsewhere.strip())
    tell("copy it to another machine, or print it; then remove it here")
    return 0


def _open(options: Options, file: Path) -> int:
    from msgspec import to_builtins

    from mngdb.ops.backup import kit as kits

    text = _text(file)
    if options.json:
        say_json(to_builtins(kits.decode(text)))
    else:
        verbatim(text.rstrip("\n"))
    return 0


def _set_up(options: Options, file: Path, folder: Path, store: str | None, restore: bool) -> int:
    from mngdb.ops.backup.rebuild import begun, rebuild
    from mngdb.ops.backup.scratch import replaceable

    found, into = read(file), folder.absolute()
    made = begun(found, into, os.environ, target=options.target) if restore else None
    if made is None:
        made = rebuild(found, into, os.environ, target=options.target, store=store)
    if made.newer:
        kept = ", ".join(made.newer)
        tell(f"note: the vault has other secrets than the kit, which it keeps: {kept}")
    command = program([path.name for path in made.files], options.target)
    enter = [f"cd {shlex.quote(str(folder))}"]
    enter += [f". ./{made.variables.name}"] if made.variables else []
    if restore:
        if found.elsewhere:
            tell(found.elsewhere.strip())
        return _restore(options, made.context, command, enter)
    then = [*enter, f"{command} up"] if found.stored else enter
    for name, one in made.context.stack.instances.items():
        if name in {kept.instance for kept in found.kept}:
            continue
        in_place = " --replace --yes" if replaceable(made.context, one) else ""
        then.append(f"{command} restore {name} --latest{in_place}")
    then += [step for kept in found.kept for step in kept.steps]
    if options.json:
        say_json({**_facts(made), "next": then})
        return 0
    say(f"{made.context.stack.name}, as of {found.made}, is set up in {folder}; nothing runs yet")
    if found.keys:
        name = "backup_key" if found.key is None else "NAME"
        say(f"{found.keys.strip()} Store it first: {command} secret set {name}")
    for line in _stores(made.context):
        say(line)
    say("next:")
    for line in then:
        verbatim(f"  {line}")
    return 0


def _facts(made: Rebuilt) -> dict[str, object]:
    reads, writes = _urls(made.context)
    stack = made.context.stack
    return {
        "stack": stack.name,
        "folder": str(made.folder),
        "instances": list(stack.instances),
        "restores_from": reads,
        "backs_up_to": writes,
    }


def _urls(context: Context) -> tuple[str, str]:
    """Where a stack restores from, and where it writes its backups."""
    from mngdb.ops.backup import place
    from mngdb.ops.backup.sources import origins

    return origins(context.stack.state).sources[0].url, place.source(context).url


def _stores(context: Context) -> list[str]:
    reads, writes = _urls(context)
    if reads == writes:
        return []
    return [
        f"its data is restored from {reads}",
        f"its file still names the store from before: new backups go to {writes}",
        f"to have them in {reads}, too, change 'backup: {{store: …}}' in it first",
    ]


def _restore(options: Options, context: Context, command: str, enter: list[str]) -> int:
    from mngdb.cli.backup import Shown
    from mngdb.cli.restore import as_json, say_restored
    from mngdb.ops.backup.comeback import bring_back

    back = bring_back(context, Shown())
    tell_errors(back.errors)
    restored = [as_json(one, replaced=True) for one in back.restored]
    restored += [as_json(one, replaced=False) for one in back.beside]
    if options.json:
        say_json({"stack": context.stack.name, "restored": restored})
        return 1 if back.errors else 0
    for one in back.restored:
        say_restored(one)
    for one in back.beside:
        say_restored(one)
        kind = context.instance(one.instance).target.kind
        tell(f"note: {one.instance} is on {kind}, where data is not replaced: it is a server of")
        tell(f"  this machine, at {one.address}; the one on {kind} is as empty as it was")
        tell(f"  hint: 'mngdb restore {one.instance} --latest' brings parts there (docs/backup.md)")
    if not back.restored and not back.beside and not back.errors:
        say("nothing waits for its data")
    for line in _stores(context):
        tell(line)
    tell(f"next: {'; '.join([*enter, f'{command} status'])}")
    return 1 if back.errors else 0


def read(file: Path) -> Kit:
    """The kit in a file, whose passphrase is asked for. Raises UsageError, OSError."""
    from mngdb.ops.backup import kit as kits

    return kits.decode(_text(file))


def _text(file: Path) -> str:
    from mngdb.ops.backup import kit as kits

    return kits.opened(file) or kits.unseal(file, passphrase())


def passphrase(*, twice: bool = False) -> Secret:
    """The passphrase, from the terminal or the first line of standard input. Raises UsageError
    where there is none."""
    from mngdb.errors import UsageError
    from mngdb.secret import Secret

    if sys.stdin.isatty():
        asked = click.prompt(
            "passphrase of the kit", hide_input=True, confirmation_prompt=twice, err=True
        )
        return Secret(asked)
    line = sys.stdin.readline(_MOST).rstrip("\r\n")
    if not line:
        raise UsageError(
            "there is no passphrase on standard input",
            "run it on a terminal, or give it the file that has it: < FILE",
        )
    return Secret(line)
