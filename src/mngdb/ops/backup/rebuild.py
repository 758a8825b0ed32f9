"""A stack set up from a kit, on a machine that has nothing of it but the store."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.errors import UsageError
from mngdb.identity.home import VARIABLE, home
from mngdb.lock import lock
from mngdb.ops.backup import kept as kept_backups
from mngdb.ops.backup import sources
from mngdb.ops.backup.drill import FOLDER as DRILLS
from mngdb.ops.backup.kit import Kit, refuse_git
from mngdb.ops.backup.restored import sweep
from mngdb.ops.backup.sources import BUCKET_ID, BUCKET_SECRET, KEY, MAC, Origins, Source
from mngdb.ops.context import Context
from mngdb.secret import Secret
from mngdb.spec.load import load
from mngdb.spec.stack import Stack
from mngdb.spec.vault import Vault
from mngdb.stores import StoreError
from mngdb.stores.catalog import Catalog
from mngdb.vaults.environ import EnvironVault

#: In the folder: variables of the environment that the stack needs, to be read by a shell.
VARIABLES = "kit.env"
#: Beside the stacks: what a drill works in that has the kit alone.
_FOLDER, _PROJECT = "remote", "project"
_LOGIN = (BUCKET_ID, BUCKET_SECRET)


class Rebuilt(Struct, frozen=True):
    """A stack that was set up. `variables`: the file that has what it needs of the environment;
    `newer`: secrets of which its vault had another value than the kit."""

    context: Context
    folder: Path
    files: tuple[Path, ...]
    variables: Path | None
    newer: tuple[str, ...] = ()


def rebuild(
    kit: Kit,
    folder: Path,
    environ: Mapping[str, str],
    *,
    target: str | None = None,
    store: str | None = None,
    vault: Vault | None = None,
) -> Rebuilt:
    """Write the kit's files to a folder that is new or empty, and make the stack: one with an
    identity of its own, which reads the backups of the kit's. `store` is where those are now, if
    they were moved; `vault` one in place of the file's. No server is started. Raises UsageError
    where the store has nothing of the stack, StoreError, SecretError, OSError; nothing is left
    then."""
    origin = _moved(kit.backups[0], store)
    given = _secrets(kit, environ)
    if kit.stored:
        _require(origin.catalog(given.get), kit)
    _empty(folder)
    context = None
    try:
        files = tuple(_written(folder, name, text) for name, text in kit.files.items())
        found = {**environ, **kit.variables}
        stack = load(files, found, target)
        if vault is not None:
            stack = _with_vault(stack, vault)
        context = Context.open(stack, found, fresh=True)
        context.claim()
        instances = tuple(kept_backups.apart(context, context.stack.instances))
        state = context.stack.state
        sources.keep(state, Origins((origin, *kit.backups[1:]), instances))
        needed, newer = _put(context, given)
        found |= needed
        context = Context.open(stack, found)  # it is a stack now, and stays one
        kept = _variables(folder, kit.variables | needed)
    except BaseException:
        if context is not None and context.stack.state.exists():
            disk.remove(context.stack.state)
        disk.remove(folder)
        raise
    return Rebuilt(context, folder, files, kept, newer)


def begun(
    kit: Kit, folder: Path, environ: Mapping[str, str], *, target: str | None = None
) -> Rebuilt | None:
    """The stack that was set up there from the kit; None: there is none. Raises UsageError,
    SecretError, OSError."""
    files = tuple(folder / name for name in kit.files)
    if not all(file.exists() for file in files):
        return None
    found = {**environ, **kit.variables}
    context = Context.open(load(files, found, target), found)
    sources_of = sources.origins(context.stack.state).sources
    if not sources_of or sources_of[0].stack != kit.backups[0].stack:
        return None
    needed, newer = _put(context, _secrets(kit, environ))
    kept = folder / VARIABLES
    if needed:
        context = Context.open(context.stack, found | needed)
    return Rebuilt(context, folder, files, kept if kept.exists() else None, newer)


def _with_vault(stack: Stack, vault: Vault) -> Stack:
    return replace(stack, source=stack.source.model_copy(update={"vault": vault}))


def _moved(source: Source, store: str | None) -> Source:
    if store is None:
        return source
    if store.startswith("s3://"):
        return replace(source, url=store)
    return Source(source.stack, str(disk.expanded(store).resolve()))


def _secrets(kit: Kit, environ: Mapping[str, str]) -> dict[str, Secret]:
    """Those of a kit; a store's login that the environment has is a newer one."""
    key = {KEY: kit.key} if kit.key is not None else {}
    newer = EnvironVault(environ).get_many(_LOGIN)
    found = {name: Secret(value) for name, value in {**kit.secrets, **key}.items()}
    usable = {name: one.usable() for name, one in newer.items()}
    return found | {name: secret for name, secret in usable.items() if secret is not None}


def _require(catalog: Catalog, kit: Kit) -> None:
    place, hint = catalog.store.place, "if its store is elsewhere now: --store DIRECTORY, or s3://…"
    try:
        there = catalog.holds_any()
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}", hint) from None
    except StoreError as error:
        variables = " and ".join(EnvironVault({}).variables(_LOGIN))
        error.hint = f"if the kit's login is an older one: set {variables}; {hint}"
        raise
    if not there:
        raise UsageError(
            f"{place} has no snapshots of the stack {kit.name} ({kit.stack[:8]})", hint
        )


def _empty(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", "name a new folder with --into")


def _written(folder: Path, name: str, text: str) -> Path:
    if Path(name).name != name:
        raise UsageError(f"the kit has a file that is not in a folder's own: {name!r}")
    disk.write(folder / name, text, mode=0o644)
    return folder / name


def _put(context: Context, given: Mapping[str, Secret]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Put the secrets into the vault, but those that it has: one that outlived the machine has what
    apps read, also after a rotation that the kit knows nothing of. Returns variables, where the
    vault is the environment, and the secrets that are others in the vault. Raises SecretError, and
    UsageError for another secret that the backups need as it is in the kit."""
    known = [name for name in context.known_secrets() if name in given]
    vault = context.vault
    if not vault.writable:
        return {vault.where(name): given[name].reveal() for name in known}, ()
    there = vault.get_many(known)
    newer = tuple(name for name, entry in there.items() if entry.usable() != given[name])
    for name in newer:
        if name in {KEY, MAC}:
            raise UsageError(
                f"{vault.where(name)} has another secret than the kit",
                "open the newest kit: the backups were given another key after this one",
            )
    if lacking := {name: given[name] for name in known if name not in there}:
        vault.put(lacking)
    return {}, newer


def _variables(folder: Path, needed: Mapping[str, str]) -> Path | None:
    if not needed:
        return None
    refuse_git([folder / VARIABLES])
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in needed.items())
    disk.write(folder / VARIABLES, "".join(lines))
    return folder / VARIABLES


@contextlib.contextmanager
def set_up_for_a_while(
    kit: Kit, environ: Mapping[str, str], *, target: str | None = None, store: str | None = None
) -> Iterator[Context]:
    """The same in a place of its own, which is removed at the end of the block, with whatever a
    killed command had left there."""
    work = home(environ).parent / _FOLDER / kit.stack[:8]
    mine = {**environ, **kit.variables, VARIABLE: str(work)}
    mode = 0o711 if os.geteuid() == 0 else 0o700
    disk.folder(work.parent, mode=mode)
    with lock(work.parent / f"{work.name}.lock", "drill", 0.0):
        if any(work.glob(f"stacks/*/{DRILLS}/*/*")):
            left = load([work / _PROJECT / name for name in kit.files], mine, target)
            context = Context.open(_with_vault(left, Vault()), mine)
            for name in context.stack.instances:
                sweep(context, DRILLS, name)
        disk.remove(work)
        disk.folder(work, mode=mode)
        try:
            project = work / _PROJECT
            made = rebuild(kit, project, mine, target=target, store=store, vault=Vault())
            yield made.context
        finally:
            disk.remove(work)
