"""What has to be true of a stack's secrets.

Sources: the requirements (A5, B5, B12, B19); the guide's chapters "secrets" and "Redis 1".
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath

from msgspec.structs import replace

from mngdb.checks.catalogue import checks
from mngdb.checks.strength import all_kinds, long_enough, no_placeholder, random_enough
from mngdb.errors import UnobservableError
from mngdb.facts.secrets import Git, SecretsFacts
from mngdb.findings import Check, Judgement, listed, not_applicable

_YEAR = 366
_NOTICE = 30


def _files(facts: SecretsFacts) -> Judgement:
    if facts.vault != "files":
        return not_applicable(f"the vault is {facts.vault!r}")
    return listed(facts.open_files, f"{len(facts.secrets)} files, all private")


def _values(facts: SecretsFacts) -> Iterator[tuple[str, str]]:
    return ((name, secret.reveal()) for name, secret in facts.secrets.items())


def _shared(facts: SecretsFacts) -> Judgement:
    owners: dict[str, list[str]] = defaultdict(list)
    for name, value in _values(facts):
        owners[value].append(name)
    return listed([" = ".join(o) for o in owners.values() if len(o) > 1], "no shared secrets")


def _age(facts: SecretsFacts) -> Judgement:
    if not facts.ages:
        return not_applicable("the vault does not record when a secret was created")
    limit = facts.rotated or _YEAR
    old = [f"{name} ({days:.0f} days)" for name, days in facts.ages.items() if days > limit]
    unknown = sorted(facts.secrets.keys() - facts.ages.keys())
    if unknown and not old:
        raise UnobservableError(f"the age of {', '.join(unknown)} is not recorded in the vault")
    return listed(old, f"the oldest is {max(facts.ages.values()):.0f} days old, of {limit:.0f}")


def _policy(facts: SecretsFacts) -> Judgement:
    found = facts.exposed.value
    if found is None:
        return not_applicable(f"the vault is {facts.vault!r}")
    return listed(found, "no other account")


def _unused(facts: SecretsFacts) -> Judgement:
    if facts.vault != "files":
        return not_applicable(f"the vault is {facts.vault!r}")
    found = listed([PurePath(one).name for one in facts.unused], "all belong to logins in the file")
    remedy = f"mngdb up --prune && rm -r -- {shlex.join(facts.unused)}"
    return replace(found, remedy=remedy if facts.unused else "")


def _in_git(judge: Callable[[Git], Judgement]) -> Callable[[SecretsFacts], Judgement]:
    def judged(facts: SecretsFacts) -> Judgement:
        git = facts.git.value
        return not_applicable("the file is not in a repository") if git is None else judge(git)

    return judged


def _found(facts: SecretsFacts, places: Sequence[str], none: str) -> Judgement:
    """Places where secrets stand, and which secrets were not searched for."""
    if facts.unsearched:
        none += f"; not searched for: {', '.join(facts.unsearched)} (short, or a common word)"
    return listed(places, none)


def _environments(facts: SecretsFacts) -> Judgement:
    if facts.vault == "environ":
        return not_applicable("the vault is 'environ'")
    but = ", ".join(facts.unavoidable)
    but = f", except {but}, which cannot read it from elsewhere" if but else ""
    return _found(facts, facts.environments.value, f"in none of {facts.programs} processes{but}")


def _dotenv(facts: SecretsFacts) -> Judgement:
    if not facts.dotenv:
        return not_applicable("there is no .env next to the file")
    bad = [f"{one.name} ({one.mode:o})" for one in facts.dotenv if one.mode & 0o077]
    return listed(bad, ", ".join(one.name for one in facts.dotenv))


def _keys(facts: SecretsFacts) -> Judgement:
    if facts.keys is None:
        return not_applicable("there are no TLS keys")
    return listed(facts.keys, "mode 0600")


def _certificates(facts: SecretsFacts) -> Judgement:
    if facts.keys is None:
        return not_applicable("there are no TLS keys")
    found = facts.certificates.value
    ending = [f"{file} ({days:.0f} days)" for file, days in found.items() if days < _NOTICE]
    left = min(found.values(), default=0)
    return listed(ending, f"the first expires in {left:.0f} days")


CHECKS: tuple[Check[SecretsFacts], ...] = checks(
    __file__,
    {
        "secrets.folder": lambda facts: listed(facts.open_folders, "private"),
        "secrets.files": _files,
        "secrets.present": lambda facts: listed(facts.missing, f"{len(facts.secrets)} secrets"),
        "secrets.usable": lambda facts: listed(
            facts.unusable, f"{len(facts.secrets)} secrets, one line each"
        ),
        "secrets.length": lambda facts: long_enough((n, len(v)) for n, v in _values(facts)),
        "secrets.placeholder": lambda facts: no_placeholder(_values(facts)),
        "secrets.strength": lambda facts: random_enough(_values(facts)),
        "secrets.shared": _shared,
        "secrets.age": _age,
        "secrets.rotations": lambda facts: listed(
            [f"{name} (begun {hours:.0f} h ago)" for name, hours in facts.late.items()],
            "none is late",
        ),
        "secrets.unused": _unused,
        "secrets.policy": _policy,
        "secrets.kinds": lambda facts: all_kinds(_values(facts)),
        "secrets.ignored": _in_git(lambda git: listed(git.open, "ignored")),
        "secrets.tracked": _in_git(lambda git: listed(git.tracked, "none")),
        "secrets.committed": _in_git(
            lambda git: listed(git.committed.value, "in no commit of any branch")
        ),
        "secrets.history": _in_git(
            lambda git: listed(git.values.value, "in no object of the repository")
        ),
        "secrets.beside": lambda facts: _found(facts, facts.beside.value, "in none"),
        "secrets.arguments": lambda facts: _found(
            facts, facts.arguments.value, f"in none of {facts.programs} processes"
        ),
        "secrets.environments": _environments,
        "secrets.logs": lambda facts: _found(facts, facts.logs.value, "in none"),
        "secrets.dotenv": _dotenv,
        "secrets.keys": _keys,
        "secrets.certificates": _certificates,
    },
)
