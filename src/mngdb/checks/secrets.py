"""What has to be true of a stack's secrets.

Sources: the requirements (A5, B5, B12, B19); the guide's chapters "secrets" and "Redis 1".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from mngdb.checks.strength import LENGTH, guessable, placeholder
from mngdb.facts.secrets import Git, SecretsFacts
from mngdb.findings import Check, Judgement, listed, no_matter

_YEAR = 366
_NOTICE = 30


def _folder(facts: SecretsFacts) -> Judgement:
    return listed(facts.open_folders, "ours alone")


def _files(facts: SecretsFacts) -> Judgement:
    if not facts.in_files:
        return no_matter("the vault is the environment")
    return listed(facts.open_files, f"{len(facts.secrets)} files, each ours alone")


def _present(facts: SecretsFacts) -> Judgement:
    return listed(facts.missing, f"{len(facts.secrets)} secrets")


def _usable(facts: SecretsFacts) -> Judgement:
    return listed(facts.unusable, f"{len(facts.secrets)} secrets, one line each")


def _length(facts: SecretsFacts) -> Judgement:
    short = [
        f"{name} ({len(secret.reveal())})"
        for name, secret in facts.secrets.items()
        if len(secret.reveal()) < LENGTH
    ]
    return listed(short, f"all have {LENGTH} or more")


def _placeholder(facts: SecretsFacts) -> Judgement:
    bad = [name for name, secret in facts.secrets.items() if placeholder(secret.reveal())]
    return listed(bad, "none of the usual words")


def _strength(facts: SecretsFacts) -> Judgement:
    bad = [
        f"{name} {why}"
        for name, secret in facts.secrets.items()
        if (why := guessable(secret.reveal()))
    ]
    return listed(bad, "nothing that repeats or counts")


def _shared(facts: SecretsFacts) -> Judgement:
    owners: dict[str, list[str]] = defaultdict(list)
    for name, secret in facts.secrets.items():
        owners[secret.reveal()].append(name)
    return listed([" = ".join(o) for o in owners.values() if len(o) > 1], "each has its own")


def _age(facts: SecretsFacts) -> Judgement:
    if not facts.ages:
        return no_matter("the vault does not tell when a secret was made")
    old = [f"{name} ({days:.0f} days)" for name, days in facts.ages.items() if days > _YEAR]
    return listed(old, f"the oldest has {max(facts.ages.values()):.0f} days")


def _unused(facts: SecretsFacts) -> Judgement:
    if not facts.in_files:
        return no_matter("the vault is the environment")
    return listed(facts.unused, "each belongs to a login of the file")


def _in_git(judge: Callable[[Git], Judgement]) -> Callable[[SecretsFacts], Judgement]:
    def judged(facts: SecretsFacts) -> Judgement:
        git = facts.git.value
        return no_matter("the file lies in no repository") if git is None else judge(git)

    return judged


def _beside(facts: SecretsFacts) -> Judgement:
    return listed(facts.beside.value, "in none")


def _logs(facts: SecretsFacts) -> Judgement:
    return listed(facts.logs.value, "in none")


def _environments(facts: SecretsFacts) -> Judgement:
    if not facts.in_files:
        return no_matter("the vault is the environment")
    but = ", ".join(facts.unavoidable)
    but = f", but for {but}: these programs take it from nowhere else" if but else ""
    return listed(facts.environments.value, f"in none of {facts.programs} processes{but}")


def _arguments(facts: SecretsFacts) -> Judgement:
    return listed(facts.arguments.value, f"in none of {facts.programs} processes")


def _dotenv(facts: SecretsFacts) -> Judgement:
    if not facts.dotenv:
        return no_matter("there is no .env beside the file")
    bad = [f"{one.name} ({one.mode:o})" for one in facts.dotenv if one.mode & 0o077]
    return listed(bad, ", ".join(one.name for one in facts.dotenv))


def _keys(facts: SecretsFacts) -> Judgement:
    if facts.keys is None:
        return no_matter("there are no keys of TLS")
    return listed(facts.keys, "nobody else may read them")


def _certificates(facts: SecretsFacts) -> Judgement:
    if facts.keys is None:
        return no_matter("there are no keys of TLS")
    found = facts.certificates.value
    ending = [f"{file} ({days:.0f} days)" for file, days in found.items() if days < _NOTICE]
    left = min(found.values(), default=0)
    return listed(ending, f"the first ends in {left:.0f} days")


_NEW = "remove the secret from the vault: 'mngdb up' makes a random one of 40"
_MOVE = "out of it, then a new secret: remove it from the vault, 'mngdb up'"
_GUIDE = "guide: secrets 1"

CHECKS: tuple[Check[SecretsFacts], ...] = (
    Check(
        "secrets.folder",
        "nobody else can enter the folders of secrets",
        "critical",
        _folder,
        "mode 0700, ours",
        "chmod 700 FOLDER",
        ("A5", _GUIDE),
    ),
    Check(
        "secrets.files",
        "nobody else can read a secret's file",
        "critical",
        _files,
        "mode 0600, ours",
        "chmod 600 FILE",
        ("A5", _GUIDE),
    ),
    Check(
        "secrets.present",
        "every login has its secret",
        "high",
        _present,
        "all that the file needs",
        "'mngdb up' makes them; 'mngdb secret set NAME' takes one that somebody else made",
        ("A2", "B5"),
    ),
    Check(
        "secrets.usable",
        "none is empty or holds what breaks a URL or a shell",
        "high",
        _usable,
        "one line of printable ASCII without spaces",
        _NEW,
        ("B5", "guide: MongoDB 2", "guide: checklist"),
    ),
    Check(
        "secrets.length",
        "secrets have 32 characters or more",
        "high",
        _length,
        "32 or more",
        _NEW,
        ("B12", "guide: Redis 1"),
    ),
    Check(
        "secrets.placeholder",
        "none is a word that stands for a secret, or that everybody tries",
        "critical",
        _placeholder,
        "no 'changeme', no 'your-password', no '<secret>'",
        _NEW,
        ("B5", "B19", _GUIDE),
    ),
    Check(
        "secrets.strength",
        "none is long and simple all the same",
        "high",
        _strength,
        "random",
        _NEW,
        ("B5", "guide: MongoDB 2"),
    ),
    Check(
        "secrets.shared",
        "no two logins share a secret",
        "high",
        _shared,
        "one for each login",
        _NEW,
        ("B5", "guide: MongoDB 2"),
    ),
    Check(
        "secrets.age",
        "every secret was changed within a year",
        "medium",
        _age,
        "366 days or less",
        _NEW,
        ("B21",),
    ),
    Check(
        "secrets.unused",
        "the vault holds nothing that nobody uses",
        "low",
        _unused,
        "a login of the file for each",
        "remove it, when the login is gone: 'mngdb up --prune'",
        ("B19",),
    ),
    Check(
        "secrets.ignored",
        "git ignores the vault and .env",
        "critical",
        _in_git(lambda git: listed(git.open, "ignored")),
        "a vault inside of the repository, and .env, in .gitignore",
        "echo .env >> .gitignore",
        ("B19", _GUIDE, "guide: checklist"),
    ),
    Check(
        "secrets.tracked",
        "the repository has no file of secrets",
        "critical",
        _in_git(lambda git: listed(git.tracked, "none")),
        "no file of the vault, no .env",
        "git rm --cached FILE, then a new secret",
        ("B19", _GUIDE),
    ),
    Check(
        "secrets.committed",
        "no file of secrets was ever committed",
        "high",
        _in_git(lambda git: listed(git.committed.value, "in no commit of any branch")),
        "no .env, no vault, no private key in the history",
        "new secrets first (the old are known); then git filter-repo, where it matters",
        ("B19", _GUIDE),
    ),
    Check(
        "secrets.history",
        "no secret in use stands in the history",
        "critical",
        _in_git(lambda git: listed(git.values.value, "in no object of the repository")),
        "none of the values, also URL-encoded, in any object",
        _NEW,
        ("B19", _GUIDE),
    ),
    Check(
        "secrets.beside",
        "no secret stands in the files, compose, CI and scripts beside it",
        "critical",
        _beside,
        "none; those files name a secret, a variable or a file",
        _MOVE,
        ("A5", "B19", "B20", _GUIDE, "guide: checklist"),
    ),
    Check(
        "secrets.arguments",
        "no secret is in a process's arguments, which everybody can list",
        "critical",
        _arguments,
        "none",
        "REDISCLI_AUTH, ~/.pgpass or standard input in place of -a and --password; then a new one",
        ("A5", "B19"),
    ),
    Check(
        "secrets.environments",
        "no secret but an app's own is in a process's environment",
        "low",
        _environments,
        "none; programs read files of mode 0600, apps take what 'mngdb env' gives them",
        "NAME_FILE in place of NAME, where the program takes it; or Docker secrets",
        ("A5",),
    ),
    Check(
        "secrets.logs",
        "no secret stands in a log",
        "critical",
        _logs,
        "none",
        _MOVE,
        ("B19", _GUIDE),
    ),
    Check(
        "secrets.dotenv",
        "nobody else can read .env",
        "high",
        _dotenv,
        "mode 0600",
        "chmod 600 .env; 'mngdb env check' judges what is in it",
        ("B19", _GUIDE),
    ),
    Check(
        "secrets.keys",
        "nobody else can read the private keys of TLS",
        "critical",
        _keys,
        "mode 0600",
        "chmod 600 FILE; if others have read it: remove the stack's tls/, 'mngdb up'",
        ("A5", "PostgreSQL 18.9"),
    ),
    Check(
        "secrets.certificates",
        "no certificate ends soon",
        "high",
        _certificates,
        "30 days or more",
        "'mngdb up' makes a new one in time; run it now and then",
        ("A5",),
    ),
)
