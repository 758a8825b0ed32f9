"""The kit: what a restore on an empty machine needs besides the store, behind a passphrase.

Its file is armored age (scrypt), so that `age -d` opens it; what it holds is YAML, with the stack's
files as they are. age takes no text beside the armor: what a person should know of the file stands
in a page for the printer, which has the armor, too.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from mngdb import __version__, disk
from mngdb.errors import UsageError
from mngdb.ops.backup import kept, keys, place
from mngdb.ops.backup.history import iso
from mngdb.ops.backup.sources import BUCKET_ID, BUCKET_SECRET, KEY, MAC, Source, origins
from mngdb.ops.context import Context
from mngdb.secret import Secret
from mngdb.spec.source import MAX_BYTES
from mngdb.spec.target_info import TARGET_INFO
from mngdb.vaults.git import repository

#: In the stack's own folder: what the last kit was made of.
_NOTE = "backup-kit.json"
_FORMAT = 1
#: Characters of a passphrase: a kit may lie about for years.
SHORTEST = 12
#: Bytes of a kit; larger is none.
_MOST = 16 << 20
_ARMOR = re.compile(
    rb"-----BEGIN AGE ENCRYPTED FILE-----.*?-----END AGE ENCRYPTED FILE-----", re.DOTALL
)
#: What age says where the machine takes too long, and how often that is tried: it measures anew.
_SLOW, _TRIES = "Excessive work parameter", 5
#: What the text of one begins with.
_PLAIN = b"# The backup kit of the stack "
#: What a block of YAML would not keep.
_STRANGE = re.compile("[^\t\n\x20-\x7e\xa1-\u2027\u2030-\ufefe]")
#: The digits of a fingerprint.
_DIGITS = 16
_HEAD = """\
# The backup kit of the stack {name}, made {made} by {tool}.
# To restore it on an empty machine: mngdb backup kit --open KIT --into FOLDER --restore
# Without mngdb: RESTORE.md in the store says how, with the key below.
"""
_PAGE = """\
This is the backup kit of the stack "{name}" ({stack}), made {made}: with it and the store at
{store} everything can be restored on an empty machine; without it nobody can read the backups.
To open it, type or scan the block below into a file kit.age and run 'mngdb backup kit --open
kit.age --into FOLDER', or without mngdb 'age -d kit.age'; both ask for its passphrase.
{keys}
{armor}
"""


class Kept(Struct, frozen=True):
    """An instance whose backups are in no store of ours: `steps` lead a stack that was set up from
    the kit to it and to them, with the secrets `needs`, of which the kit may have none."""

    instance: str
    keeper: str
    place: str
    needs: tuple[str, ...]
    steps: tuple[str, ...]


class Kit(Struct, frozen=True, kw_only=True):
    """What is in a kit. `backups` begins with the stack's own."""

    format: int = _FORMAT
    tool: str = f"mngdb {__version__}"
    made: str
    name: str
    backups: tuple[Source, ...]
    key: str | None = None
    """The private key of the backups; None: the people have it whose public keys are below."""
    recipients: tuple[str, ...]
    """Public keys that the backups are encrypted for."""
    secrets: dict[str, str]
    """By their names in the vault."""
    variables: dict[str, str] = {}
    """Those of the environment that the files name."""
    files: dict[str, str]
    """The stack's files as they are, in their order."""
    stored: bool = True
    """Whether a store of ours has backups of an instance."""
    kept: tuple[Kept, ...] = ()
    """The instances whose backups are elsewhere."""

    @property
    def stack(self) -> str:
        """The stack's id."""
        return self.backups[0].stack

    @property
    def keys(self) -> str:
        """What besides the kit is needed to read the backups, in a sentence; empty: nothing."""
        lacking = [
            f"what opens {one.keeper} ({' or '.join(one.needs)})"
            for one in self.kept
            if not self.secrets.keys() & {*one.needs}
        ]
        if self.key is None:
            lacking.insert(0, f"the private key of {' or '.join(self.recipients)}")
        return f"Not in it: {'; '.join(lacking)}.\n" if lacking else ""

    @property
    def elsewhere(self) -> str:
        """What the store has nothing of, a line each, and how it comes back."""
        return "".join(
            f"{one.instance} and its backups: {one.place}. To come back to it: "
            f"{'; then '.join(one.steps)}\n"
            for one in self.kept
        )


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, as people write them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _STRANGE.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def collect(context: Context) -> Kit:
    """What the kit of a stack holds now. The key is made where there is none yet. Raises
    SecretError, UsageError."""
    context.require_created()
    recipients = keys.sealer(context).recipients
    keys.make_signer(context)
    key = context.vault.get(KEY)
    names = [name for name in context.known_secrets() if name != KEY]
    found = {name: entry.usable() for name, entry in context.vault.get_many(names).items()}
    environ = context.environ
    return Kit(
        made=iso(time.time()),
        name=context.stack.name,
        backups=(place.source(context), *origins(context.stack.state).sources),
        key=key.reveal() if key is not None else None,
        recipients=tuple(recipients),
        secrets={name: secret.reveal() for name, secret in found.items() if secret is not None},
        variables={one: environ[one] for one in sorted(context.stack.variables) if one in environ},
        files=_files(context.stack.files),
        stored=bool(kept.apart(context, context.stack.instances)),
        kept=tuple(_kept(context)),
    )


def _kept(context: Context) -> Iterator[Kept]:
    for name, instance in context.stack.instances.items():
        own = kept.of(context, name)
        if own is not None:
            found = own.rescue(context.asked(instance, invent=True, find=False))
            needs = TARGET_INFO[instance.target.kind].secrets
            yield Kept(name, own.keeper, found.place, needs, found.steps)


def _files(paths: Sequence[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, path in enumerate(paths):
        if not path.is_file():
            raise UsageError(f"{path} is not a regular file", "save it, and name it with -f")
        name = path.name if path.name not in found else f"{number}-{path.name}"
        found[name] = disk.read_given(path, MAX_BYTES).decode()
    return found


def encode(kit: Kit) -> str:
    """The text of a kit, for programs and people."""
    head = _HEAD.format(name=kit.name, made=kit.made, tool=kit.tool)
    data = {name: value for name, value in msgspec.to_builtins(kit).items() if value is not None}
    return head + yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def decode(text: str) -> Kit:
    """The kit that a text holds. Raises UsageError for what is none."""
    try:
        data: Any = yaml.safe_load(text)
        found = msgspec.convert(data, type=Kit)
    except (yaml.YAMLError, msgspec.ValidationError, RecursionError):
        raise UsageError("this is not a kit of mngdb") from None
    if found.format > _FORMAT or not found.backups:
        raise UsageError(f"the kit has format {found.format}; this mngdb reads {_FORMAT}")
    return found


def seal(kit: Kit, passphrase: Secret) -> str:
    """The content of a kit's file. Raises UsageError for a passphrase that is too short."""
    import pyrage

    if len(passphrase.reveal()) < SHORTEST:
        raise UsageError(
            f"the passphrase has fewer than {SHORTEST} characters", "take five random words"
        )
    sealed: bytes = pyrage.passphrase.encrypt(
        encode(kit).encode(), passphrase.reveal(), armored=True
    )
    return sealed.decode().strip() + "\n"


def page(kit: Kit, armor: str) -> str:
    """The page to be printed: what it is, and the kit."""
    return _PAGE.format(
        name=kit.name,
        stack=kit.stack[:8],
        made=kit.made,
        store=kit.backups[0].url,
        keys=f"{kit.keys}{kit.elsewhere}",
        armor=armor,
    )


def opened(file: Path) -> str | None:
    """The text of a kit that somebody has opened with `age -d`; None: it is encrypted, or no kit.
    Raises UsageError where there is none, OSError."""
    try:
        data = disk.read_given(file, _MOST)
    except FileNotFoundError:
        raise UsageError(f"there is no kit {file}") from None
    return data.decode() if data.startswith(_PLAIN) else None


def unseal(file: Path, passphrase: Secret) -> str:
    """The text of a kit in a file, which may be the printed page. Raises UsageError, OSError."""
    data = disk.read_given(file, _MOST)
    armor = _ARMOR.search(data)
    for attempt in range(_TRIES):
        try:
            return _decrypted(armor[0] if armor else data, passphrase)
        except UnicodeDecodeError:
            raise UsageError(f"{file}: it is not a kit") from None
        except ValueError as error:
            said = str(error)
            if said == "Decryption failed":
                raise UsageError(f"{file}: the passphrase does not open it") from None
            if not said.startswith(_SLOW):
                raise UsageError(f"{file}: it is not a kit: {said}") from None
            time.sleep(attempt)
    raise UsageError(
        f"{file}: opening it takes much longer here than where it was made",
        f"try again when this machine is not busy; or 'age -d {file} > kit.yaml' on any machine, "
        "then --open kit.yaml",
    )


def _decrypted(data: bytes, passphrase: Secret) -> str:
    """Raises ValueError with what age says, UnicodeDecodeError."""
    import pyrage

    try:
        return bytes(pyrage.passphrase.decrypt(data, passphrase.reveal())).decode()
    except pyrage.DecryptError as error:
        raise ValueError(str(error)) from None


def check_place(file: Path) -> None:
    """Raise UsageError for a place where a kit cannot be, before a passphrase is asked for. Nothing
    is overwritten: an older kit may open what this one cannot."""
    both = _both(file)
    for path in both:
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} exists", "choose another --output")
    if not file.parent.is_dir():
        raise UsageError(f"{file}: no directory {file.parent}")
    refuse_git(both)


def refuse_git(paths: Sequence[Path]) -> None:
    """Raise UsageError for files of one folder that git would take in."""
    found = repository(paths[0].parent)
    open_ = found.not_ignored(paths) if found is not None else []
    if found is not None and open_:
        raise UsageError(
            f"{open_[0]} is in the git repository {found.top}, and would be committed",
            "write it elsewhere, or add it to .gitignore",
        )


def save(kit: Kit, passphrase: Secret, file: Path) -> list[Path]:
    """Write a kit, and beside it the page to be printed; returns both. Raises UsageError,
    OSError."""
    armor = seal(kit, passphrase)
    both = _both(file)
    disk.write(both[0], armor)
    disk.write(both[1], page(kit, armor))
    return both


def _both(file: Path) -> list[Path]:
    return [file, file.with_name(f"{file.name}.txt")]


# --- whether there is one


class _Made(Struct, frozen=True):
    """What the last kit was made of: when (seconds since the epoch), fingerprints of the keys that
    the backups are encrypted for, the store, and a digest of the files."""

    at: float
    keys: tuple[str, ...]
    store: str
    files: str


def note(context: Context, kit: Kit) -> None:
    """Keep that a kit was made. Raises OSError."""
    keys = _fingerprints((*kit.recipients, kit.secrets.get(MAC, "")))
    made = _Made(time.time(), keys, kit.backups[0].url, _digest(kit.files))
    disk.write(context.stack.state / _NOTE, msgspec.json.encode(made).decode() + "\n")


def _fingerprints(keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(hashlib.sha256(one.encode()).hexdigest()[:_DIGITS] for one in keys))


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256("\0".join(files.values()).encode()).hexdigest()


def _read(state: Path) -> _Made | None:
    try:
        return disk.read_note(state / _NOTE, _Made)
    except ValueError:
        return None  # then nobody knows of one


def lacking(context: Context) -> tuple[tuple[str, ...], str]:
    """What the last kit lacks for a restore, and a remark on it: since when it is there, and what
    else has changed since. Raises SecretError."""
    made = _read(context.stack.state)
    if made is None:
        return ("no kit was made",), ""
    when = iso(made.at)
    bad = [one.text for one in keys.problems(context)]
    mac = None if bad else context.vault.get(MAC)
    signs = mac.reveal() if mac is not None else ""
    if not bad and _fingerprints((*place.recipients(context), signs)) != made.keys:
        bad.append(f"the key was changed after the kit of {when}")
    if place.source(context).url != made.store:
        bad.append(f"the store was changed after the kit of {when}")
    entries = context.vault.get_many(context.known_secrets())
    later = [name for name, one in entries.items() if one.changed and one.changed > made.at]
    if place.directory(context) is None and not {BUCKET_ID, BUCKET_SECRET}.isdisjoint(later):
        bad.append(f"the store's login was changed after the kit of {when}")
    if _digest(_files(context.stack.files)) != made.files:
        later.insert(0, "the file")
    return tuple(bad), f"made {when}" + (f"; changed since: {', '.join(later)}" if later else "")


def default_file(context: Context) -> Path:
    """Where a kit goes unless a person says: the home directory, under a name of its own."""
    home = disk.expanded("~") if os.environ.get("HOME") else Path.cwd()
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return home / f"{context.stack.name}-kit-{moment}.age"
