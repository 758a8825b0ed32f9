"""`env check` and `env example`: an app's environment, judged, and without its secrets."""

from __future__ import annotations

import io
import os
import re
import shlex
import stat
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from mngdb import disk
from mngdb.checks import registry, uris
from mngdb.dotenv import unambiguous
from mngdb.errors import SecretError, UsageError
from mngdb.facts.environment import EnvFacts, EnvFile
from mngdb.findings import Finding, Seen, see
from mngdb.ops.check import Report
from mngdb.ops.context import Context
from mngdb.ops.variables import dotenv, variables
from mngdb.secret import Secret, app_of
from mngdb.spec.engine_info import DRIVERS
from mngdb.spec.stack import secret_name
from mngdb.vaults.git import repository
from mngdb.words import many

EXAMPLE = ".env.example"
#: Stands in an example where a secret belongs.
PLACEHOLDER = "REPLACE-ME"
#: The remedy that names no app, in checks/environment.yaml.
_GIVE = "mngdb env APP --write .env"
#: The file in other remedies there.
_FILE = re.compile(r"(?<!\S)\.env(?!\S)")
#: A file larger than this holds no variables.
_MOST = 1 << 20


def env_check(
    context: Context, file: Path | None, apps: Sequence[str], drivers: Sequence[str] = ()
) -> Report:
    """Judge a .env file, or the environment of this process. `apps`: whose it is; none: those whose
    names stand in it, else all. `drivers`: whose dialect is expected; none: as the file says.
    Raises UsageError."""
    found = _read(file) if file else None
    given = found.variables if found else {n: Secret(v) for n, v in context.environ.items()}
    needed = _needed(context, apps or _whose(context, given), drivers)
    if found is None:
        given = {name: value for name, value in given.items() if _ours(name, needed)}
    report = _judged(context, given, _file(file, found) if file and found else None, needed)
    single = next(iter(needed)) if len(needed) == 1 else ""
    others = _formats(context, single, given, needed[single]) if single and not drivers else []
    required = {name for names in needed.values() for name in names}
    about = _About(single, file, found, frozenset(required), given.keys() - required)
    return Report(tuple(_told(one, about, others) for one in report.findings))


class _About(Struct, frozen=True):
    """What remedies depend on."""

    app: str
    """Empty: several apps."""
    file: Path | None
    read: _Read | None
    required: Set[str]
    """Variables that `env APP --write` writes."""
    strays: Set[str]
    """Variables that it leaves as they are."""


def _told(found: Finding, about: _About, others: Sequence[str]) -> Finding:
    """A finding whose remedy names the file and, where it is one app's, the app and the formats
    that the variables may have (`others`)."""
    file, app = about.file, about.app
    where = str(file or ".env")
    give = shlex.join(["mngdb", "env", app or "APP", "--write", where])
    remedy = found.remedy.replace(_GIVE, give)
    remedy = _FILE.sub(lambda _: shlex.quote(where), remedy) if file else remedy
    remedy = re.sub(r"\bAPP\b", app, remedy) if app else remedy
    if found.verdict == "fail" and _GIVE in found.remedy:
        remedy = _possible(remedy, found.evidence, about)
    mixed = [one for one in about.read.ambiguous if one in about.required] if about.read else []
    if found.id == "env.unambiguous" and mixed:
        remedy += f"; '{give}' does so for {', '.join(mixed)}"
    if others and found.verdict == "fail" and found.remedy == _GIVE:
        named = " or ".join(filter(None, (", ".join(others[:-1]), others[-1])))
        other = named if len(others) == 1 else "DRIVER"
        check = shlex.join(["mngdb", "env", "check", *([where] if file else []), "--for", other])
        remedy = (
            f"the variables are those for {named}: {check}, or 'env: {{for: {other}}}' in the file"
        )
    return replace(found, remedy=remedy)


def _possible(remedy: str, evidence: str, about: _About) -> str:
    """A remedy that begins with `env APP --write`, which writes the app's own variables only, and
    to no file with a line that it cannot read."""
    told = dict.fromkeys(re.findall(r"\w+", evidence))
    strays = [name for name in told if name in about.strays]
    if strays:
        by_hand = (
            f"change by hand or remove {', '.join(strays)}: not of {about.app or 'these apps'}"
        )
        if not about.required & told.keys():
            return by_hand
        remedy += f"; {by_hand}"
    if about.read and about.read.wrong:
        return f"correct line {about.read.wrong[0]}; then {remedy}"
    return remedy


def _formats(
    context: Context, app: str, given: Mapping[str, Secret], needed: Mapping[str, Secret]
) -> list[str]:
    """The drivers whose variables these are, where they are not those that are needed: by names and
    values or, where no values fit (an old password, say), by names."""
    if given.keys() >= needed.keys():
        return []
    named, same = [], []
    for one in DRIVERS:
        try:
            found = variables(context, app, drivers=[one])
        except UsageError:
            continue  # of another engine
        if found and given.keys() >= found.keys():
            named.append(one)
            if all(given[name].reveal() == value for name, value in found.items()):
                same.append(one)
    return same or named


def _judged(
    context: Context,
    given: Mapping[str, Secret],
    file: EnvFile | None,
    needed: Mapping[str, Mapping[str, Secret]],
) -> Report:
    facts = EnvFacts(
        variables=given,
        file=file,
        needed=needed,
        kept=_kept(context, needed),
        encrypted=any(one.tls for app in needed for one in context.app(app)),
        inside=frozenset(n for n, one in context.stack.members.items() if one.instance.contained),
    )
    whose = ", ".join(needed) if len(needed) < 3 else many(len(needed), "app")
    return Report(tuple(check.finding(facts, whose) for check in registry.of("env")))


def problems(context: Context) -> tuple[str, ...]:
    """What is wrong with the .env beside the stack's file or, without one, with what `mngdb env`
    prints for each app: `CHECK of APP (EVIDENCE)`. Raises UsageError."""
    apps = list(context.stack.apps)
    if not apps:
        return ()
    file = default_file(context)
    if file is not None:
        reports = [env_check(context, file, ())]
    else:
        every = (_needed(context, [app]) for app in apps)
        reports = [_judged(context, _as_given(needed), None, needed) for needed in every]
    findings = (one for report in reports for one in report.findings)
    return tuple(
        f"{one.id} of {one.instance} ({one.evidence})"
        for one in findings
        if one.verdict in {"fail", "unknown"}
    )


def _as_given(needed: Mapping[str, Mapping[str, Secret]]) -> dict[str, Secret]:
    """Variables as apps get them."""
    return {name: value for names in needed.values() for name, value in names.items()}


def env_example(context: Context, path: Path | None, apps: Sequence[str], force: bool) -> str:
    """The variables of the apps without secrets; with a path they are written there, and its text
    is returned all the same. Raises UsageError when there is such a file with other content."""
    lines = ["# What the app needs; 'mngdb env APP' has the values. Put no secrets in here."]
    seen: set[str] = set()
    for app in apps or list(context.stack.apps):
        lines += ["", f"# {app}"]
        for name, value in variables(context, app, Secret(PLACEHOLDER)).items():
            lines.append(("# " if name in seen else "") + dotenv(name, value))
            seen.add(name)
    text = "\n".join(lines) + "\n"
    if path is not None:
        disk.replaceable(path)
        if path.exists() and not force and path.read_text(errors="replace") != text:
            raise UsageError(
                f"{path} exists already",
                "--force replaces it; '--output -' prints to standard output instead",
            )
        disk.write(path, text, mode=0o644)
    return text


class _Read(Struct, frozen=True):
    """What stands in a .env file."""

    variables: dict[str, Secret]
    wrong: tuple[int, ...]
    """Lines that cannot be read."""
    twice: tuple[str, ...]
    ambiguous: tuple[str, ...]
    """Variables whose values readers take differently."""


def read_text(path: Path) -> str:
    """The text of a .env file. Raises UsageError."""
    try:
        raw = disk.read_given(path, _MOST)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > _MOST or b"\0" in raw:
        raise UsageError(f"{path}: not a .env file")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start})") from None


def _read(path: Path) -> _Read:
    """Raises UsageError."""
    from dotenv.main import resolve_variables
    from dotenv.parser import parse_stream

    text = read_text(path)
    marked = text.startswith("\ufeff")  # which a shell takes for a part of the first name
    pairs: list[tuple[str, str | None]] = []
    wrong, twice, unlike = [], [], []
    for binding in parse_stream(io.StringIO(text.removeprefix("\ufeff"))):
        name = binding.key
        if name is None:
            wrong += [line_of(binding.original)] if binding.error else []
        elif not name.replace("_", "a").isalnum() or name[0].isdigit() or binding.value is None:
            wrong.append(line_of(binding.original))
        else:
            twice += [name] if name in dict(pairs) else []
            same = unambiguous(binding.original.string) and not (marked and not pairs)
            unlike += [] if same else [name]
            pairs.append((name, binding.value))
    found = resolve_variables(pairs, override=True)
    return _Read(
        {name: Secret(value or "") for name, value in found.items()},
        tuple(wrong),
        tuple(dict.fromkeys(twice)),
        tuple(dict.fromkeys(unlike)),
    )


def line_of(original: object) -> int:
    """The line of what was read; empty lines before belong to it."""
    text, line = str(getattr(original, "string", "")), int(getattr(original, "line", 1))
    return line + (len(text) - len(text.lstrip("\r\n"))) // (2 if "\r" in text else 1)


def _file(path: Path, read: _Read) -> EnvFile:
    beside = path.with_name(EXAMPLE)
    found = see(lambda: repository(path.parent))
    repo = found.found
    return EnvFile(
        name=path.name,
        mode=stat.S_IMODE(path.stat().st_mode),
        unreadable=read.wrong,
        duplicates=read.twice,
        ambiguous=read.ambiguous,
        ignored=see(lambda: None if found.value is None else not found.value.not_ignored([path])),
        committed=see(lambda: tuple(repo.committed_as(path)) if repo else ()),
        example=_read(beside).variables if beside.is_file() else None,
    )


def _whose(context: Context, given: Mapping[str, Secret]) -> list[str]:
    """The apps whose login stands in the variables; all, where none does."""
    values = {name: secret.reveal() for name, secret in given.items()}
    users = {app_of(value) for name, value in values.items() if "USER" in name}
    users |= {app_of(uris.read(value).user) for value in values.values() if uris.is_uri(value)}
    apps = context.stack.apps
    return [app for app in apps if app in users] or list(apps)


def _needed(
    context: Context, apps: Sequence[str], drivers: Sequence[str] = ()
) -> dict[str, Mapping[str, Secret]]:
    if not apps:
        raise UsageError("the file has no apps, so no variables are needed", "apps: {my-app: {…}}")
    every = {app: variables(context, app, drivers=drivers) for app in apps}
    return {app: {n: Secret(value) for n, value in found.items()} for app, found in every.items()}


def _kept(
    context: Context, needed: Mapping[str, Mapping[str, Secret]]
) -> Seen[Mapping[str, Secret]]:
    found = {}
    for app in needed:
        for instance in context.app(app):
            name = secret_name(instance, app)
            try:
                secret = context.vault.get(name)
            except SecretError as error:
                return Seen(missing=error.message)
            if secret is None:
                return Seen({})  # before the first 'up'
            found[name] = secret
    return Seen(found)


def _ours(name: str, needed: Mapping[str, Mapping[str, Secret]]) -> bool:
    """Whether a variable of the process is one of the app's: a shell has many others."""
    every = {one for names in needed.values() for one in names}
    prefixes = {one.split("_")[0] + "_" for one in every}
    return name in every or name.startswith((*prefixes, "AWS_SECRET", "USE_AWS_", "AWS_REGION"))


def default_file(context: Context) -> Path | None:
    """The .env beside the stack's file, if there is one."""
    path = context.stack.folder / ".env"
    return path if os.path.lexists(path) else None
