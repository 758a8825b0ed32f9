"""Looks at a stack's secrets, and at all the places where they should not be."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from mngdb.errors import UnobservableError
from mngdb.facts.secrets import Dotenv, Git, SecretsFacts
from mngdb.findings import Seen, see
from mngdb.ops.context import Context, secret_name
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.web import INSIGHT_SECRET
from mngdb.targets.compose.certificates import bundle
from mngdb.vaults import inspect, leaks
from mngdb.vaults.git import repository

#: What is written beside the file and read by other tools.
_BESIDE = (
    *("*compose*.y*ml", "mngdb*.y*ml", "Dockerfile*", "Makefile", "justfile", "*.sh", "scripts/*"),
    *(".gitlab-ci.y*ml", ".github/workflows/*.y*ml", ".circleci/*.y*ml", "Jenkinsfile"),
    *("*-pipelines.y*ml", ".env.example", ".env.sample", ".env.template", ".env.dist", "*.md"),
)


def secrets_facts(context: Context) -> SecretsFacts:
    """Everything that the checks of secrets judge."""
    stack, vault = context.stack, context.vault
    names = context.needed_secrets()
    kept = inspect.kept(vault, names)
    needles = leaks.Needles.of(kept.secrets)
    folder = vault.folder
    # 'mngdb env' gives an app its own secret as a variable
    instances = stack.instances.values()
    given = {secret_name(one, app) for one in instances for app in one.grants}
    running = leaks.in_processes(needles, given)
    only = _only_so(context)
    unavoidable = tuple(one for one in running.environments if one.startswith(only))
    return SecretsFacts(
        in_files=folder is not None,
        secrets=kept.secrets,
        missing=tuple(kept.missing),
        unusable=tuple(kept.unusable),
        ages=kept.ages,
        open_folders=tuple(
            inspect.open_to_others([*_private(stack.state, folder), *_rendered(context)])
        ),
        open_files=tuple(inspect.open_to_others(vault.files(names))),
        unused=tuple(inspect.strangers(folder, vault.files(names)) if folder else ()),
        git=see(lambda: _git(context, folder, needles)),
        beside=see(lambda: _search(needles, _beside(context))),
        arguments=Seen(running.arguments),
        environments=Seen(tuple(one for one in running.environments if one not in unavoidable)),
        unavoidable=unavoidable,
        logs=see(lambda: _search(needles, _logs(context))),
        dotenv=tuple(_dotenv(stack.folder)),
        keys=_keys(context),
        certificates=see(lambda: _certificates(context)),
        programs=running.looked,
    )  # fmt: skip


def _private(state: Path, vault: Path | None) -> list[Path]:
    """Folders of secrets: the stack's own, which others may pass through, has them."""
    return [*(state / name for name in ("secrets", "tls", "agent")), *([vault] if vault else [])]


def _only_so(context: Context) -> tuple[str, ...]:
    """Secret and program that take it from their environment alone: RedisInsight's key, and what
    some exporters log in with."""
    instances = [one for one in context.stack.instances.values() if one.target.compose]
    programs = [(one, ENGINE_INFO[one.engine].metrics.bare_login) for one in instances]
    exporters = (f"{secret_name(one, MONITOR)} in {name} " for one, name in programs if name)
    return (f"{INSIGHT_SECRET} ", *exporters)


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
    for note in context.local.units() if _here(context) else ():
        yield from sorted(context.local.layout.unit(note.unit).root.glob("*.log*"))


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
    """Folders of containers' files that hold secrets, hashes and keys, some of them readable by
    all who may pass."""
    if not any(one.target.compose for one in context.stack.instances.values()):
        return []
    return [context.compose.folder.root / name for name in ("secrets", "conf", "init")]


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


def _of_servers(context: Context) -> list[Path]:
    """Certificates with their keys, of the servers of this machine."""
    encrypted = [i for i in context.stack.instances.values() if i.tls and i.target.local]
    files = [context.local.layout.unit(one.unit).certificate for one in encrypted]
    return [path for path in files if path.exists()]


def _keys(context: Context) -> tuple[str, ...] | None:
    files = [*_authority(context, ".key"), *_of_servers(context)]
    if not files:
        return None
    layout = context.local.layout
    here = [i.unit for i in context.stack.instances.values() if i.tls and i.target.local]
    return tuple(inspect.open_to_others(files, {layout.uid(unit) for unit in here}))


def _certificates(context: Context) -> dict[str, float]:
    files = [*_authority(context, ".crt"), *_of_servers(context)]
    for one in context.stack.instances.values():
        if one.tls and one.target.compose:
            path = bundle(context.compose.folder, one)
            files += [path] if path.exists() else []
    return dict(inspect.days_left(files)) if files else {}


def _here(context: Context) -> bool:
    return any(one.target.local for one in context.stack.instances.values())
