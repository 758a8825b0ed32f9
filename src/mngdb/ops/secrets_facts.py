"""Looks at a stack's secrets, and at all the places where they should not be."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path

from mngdb.errors import SecretError, UnobservableError
from mngdb.facts.secrets import Dotenv, Git, SecretsFacts
from mngdb.findings import Seen, see
from mngdb.ops.context import Context
from mngdb.ops.publish import readers
from mngdb.ops.rotate.note import entries
from mngdb.spec.stack import secret_name
from mngdb.spec.vault import settled
from mngdb.vaults import inspect, leaks
from mngdb.vaults.git import repository

_HOUR, _DAY = 3_600.0, 86_400.0
#: What is written beside the file and read by other tools.
_BESIDE = (
    *("*compose*.y*ml", "mngdb*.y*ml", "Dockerfile*", "Makefile", "justfile", "*.sh", "scripts/*"),
    *(".gitlab-ci.y*ml", ".github/workflows/*.y*ml", ".circleci/*.y*ml", "Jenkinsfile"),
    *("*-pipelines.y*ml", ".env.example", ".env.sample", ".env.template", ".env.dist", "*.md"),
)


def secrets_facts(context: Context) -> SecretsFacts:
    """Everything that the checks of secrets judge."""
    stack, vault = context.stack, context.vault
    names = context.known_secrets()
    kept = inspect.kept(vault, context.needed_secrets())
    needles = leaks.Needles.of(kept.secrets)
    folder = vault.folder
    others = _of_others(context)
    files = [*vault.files(names), *vault.documents(readers(context))]
    shared = _shared(context)
    # 'mngdb env' gives an app its own secret as a variable
    running = leaks.in_processes(needles, context.app_secrets)
    only = _only_so(context)
    unavoidable = tuple(one for one in running.environments if one.startswith(only))
    return SecretsFacts(
        vault=settled(stack.source.vault, context.environ).kind,
        secrets=kept.secrets,
        missing=tuple(one for one in kept.missing if one not in others),
        unusable=tuple(kept.unusable),
        ages=kept.ages,
        rotated=_rotated(context),
        late=_late(context),
        open_folders=tuple(
            inspect.open_to_others(
                [*_private(stack.state, folder), *_rendered(context)], shared=shared
            )
        ),
        open_files=tuple(inspect.open_to_others(files, shared=shared)),
        unused=tuple(inspect.strangers(folder, files) if folder else ()),
        git=see(lambda: _git(context, folder, needles)),
        beside=see(lambda: _search(needles, _beside(context))),
        arguments=Seen(running.arguments),
        environments=Seen(tuple(one for one in running.environments if one not in unavoidable)),
        unavoidable=unavoidable,
        unsearched=needles.left_out,
        logs=see(lambda: _search(needles, _logs(context))),
        dotenv=tuple(_dotenv(stack.folder)),
        keys=_keys(context),
        certificates=see(lambda: _certificates(context)),
        programs=running.looked,
        exposed=see(lambda: _exposed(context)),
    )  # fmt: skip


def _of_others(context: Context) -> set[str]:
    """Of logins on adopted servers, whose passwords the vault need not have."""
    every = context.stack.instances.values()
    return {secret_name(one, app) for one in every for app in context.unknown(one)}


def _shared(context: Context) -> dict[Path, int]:
    """What the file has groups read: the documents, and the way to them."""
    apps = context.stack.source.vault.readers
    folder = context.vault.folder
    if not apps or folder is None:
        return {}
    return {folder: 0o011} | dict.fromkeys(context.vault.documents(apps), 0o040)


def _exposed(context: Context) -> tuple[str, ...] | None:
    try:
        found = context.vault.exposed(context.needed_secrets(), readers(context))
    except SecretError as error:
        raise UnobservableError(error.message) from None
    return None if found is None else tuple(found)


def _rotated(context: Context) -> float | None:
    rotation = context.stack.source.rotate
    return None if rotation is None else rotation.every.total_seconds() / _DAY + 1


def _late(context: Context) -> dict[str, float]:
    """Rotations that have had the time of their sessions, and an hour for all else."""
    now = time.time()
    every = entries(context.stack.state).values()
    ages = {one.secret: now - one.begun for one in every if now - one.begun > one.grace + _HOUR}
    return {name: age / _HOUR for name, age in ages.items()}


def _private(state: Path, vault: Path | None) -> list[Path]:
    """Folders of secrets: the stack's own, which others may pass through, has them."""
    return [*(state / name for name in ("secrets", "tls", "agent")), *([vault] if vault else [])]


def _only_so(context: Context) -> tuple[str, ...]:
    """Secret and program that take it from their environment alone."""
    return tuple(
        one for sidecars in context.sidecars() for one in sidecars.environments(secret_name)
    )


def _search(needles: leaks.Needles, files: Iterator[Path]) -> tuple[str, ...]:
    try:
        return leaks.in_files(needles, files)
    except OSError as error:
        raise UnobservableError(f"{error.filename}: {error.strerror}") from None


def _beside(context: Context) -> Iterator[Path]:
    found = {path.resolve() for path in context.stack.files}
    for pattern in _BESIDE:
        found |= {path.resolve() for path in context.stack.folder.glob(pattern)}
    yield from sorted(found)


def _logs(context: Context) -> Iterator[Path]:
    state = context.stack.state
    yield from sorted([*state.glob("*.log*"), *state.glob("agent/*.log*")])
    for outside in context.outside():
        yield from outside.logs()


def _git(context: Context, folder: Path | None, needles: leaks.Needles) -> Git | None:
    found = repository(context.stack.folder)
    if found is None:
        return None
    private = [*_private(context.stack.state, folder), *_rendered(context)]
    dotenv = [context.stack.folder / one.name for one in _dotenv(context.stack.folder)]
    # a pattern may ignore a folder's files and not the folder
    probes = [*(path / "x" for path in dict.fromkeys(private)), *dotenv]
    return Git(
        open=tuple(_short(path, context) for path in found.not_ignored(probes)),
        tracked=tuple(found.tracked([context.stack.state, *private, *dotenv])),
        committed=see(lambda: tuple(found.committed([folder] if folder else []))),
        values=see(lambda: tuple(found.holding(needles))),
    )


def _rendered(context: Context) -> list[Path]:
    """Folders beside the stack's own that hold secrets, hashes and keys."""
    return [path for outside in context.outside() for path in outside.private()]


def _short(path: Path, context: Context) -> str:
    shown, folder = path.parent if path.name == "x" else path, context.stack.folder
    return str(shown.relative_to(folder) if shown.is_relative_to(folder) else shown)


def _dotenv(folder: Path) -> Iterator[Dotenv]:
    for path in sorted(folder.glob(".env*")):
        if path.suffix in {".example", ".sample", ".template", ".dist"} or not path.is_file():
            continue
        yield Dotenv(path.name, stat.S_IMODE(path.stat().st_mode))


def _authority(context: Context, suffix: str) -> list[Path]:
    """Files of the stack's CA and of its page."""
    return sorted((context.stack.state / "tls").glob(f"*{suffix}"))


def _keys(context: Context) -> tuple[str, ...] | None:
    """Keys that others may read."""
    of_servers = {
        path: uid
        for outside in context.outside()
        for path, uid in outside.keys().items()
        if path.exists()
    }
    files = [*_authority(context, ".key"), *of_servers]
    return tuple(inspect.open_to_others(files, set(of_servers.values()))) if files else None


def _certificates(context: Context) -> dict[str, float]:
    shown = {name: path for one in context.outside() for name, path in one.certificates().items()}
    # the page's is among the first, or the user's own
    of_servers = (shown[name] for name in context.stack.instances if name in shown)
    files = [*_authority(context, ".crt"), *(path for path in of_servers if path.exists())]
    return dict(inspect.days_left(files)) if files else {}
